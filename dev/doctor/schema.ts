// What schema.sql declares, read from its text, so that nothing has to repeat it.
import { readFile } from "node:fs/promises";

export interface DeclaredColumn {
  name: string;
  type: string;
  isRequired: boolean;
}

export interface DeclaredTable {
  columns: DeclaredColumn[];
  constraints: string[];
}

/** @throws Error where schema.sql no longer has the form that this reads */
export async function readDeclaredTable(): Promise<DeclaredTable> {
  const text = await readFile(new URL("../../schema.sql", import.meta.url), "utf8");
  const body = /create table if not exists public\.crew_runs \(\n(.*?)\n\);/s.exec(text)?.[1] ?? "";
  const columns = [...body.matchAll(/^ {2}(\w+) +(uuid|text|jsonb|timestamptz)\b(.*?),?$/gm)].map(
    ([, name = "", type = "", rest = ""]) => ({ name, type, isRequired: rest.includes("not null") }),
  );
  const added = text.matchAll(/add column if not exists (\w+) +(uuid|text|jsonb|timestamptz)\b/g);
  for (const [, name = "", type = ""] of added) columns.push({ name, type, isRequired: false });
  const constraints = [...text.matchAll(/^ {6}\('(crew_runs_\w+)', \$rule\$/gm)].map(([, name = ""]) => name);
  if (columns.length === 0 || constraints.length === 0) throw new Error("schema.sql cannot be understood");
  return { columns, constraints };
}
