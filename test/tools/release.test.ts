// What a release is called: git tag, package.json and the CHANGELOG's newest section agree.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { version } from "../../package.json";

const ROOT = `${import.meta.dirname}/../..`;
const run = async (command: string, ...words: string[]) =>
  (await promisify(execFile)(command, words, { cwd: ROOT })).stdout;

test("the notes of this version's tag are the CHANGELOG's newest section", async () => {
  const notes = await run(".ci/release-notes", `v${version}`);
  expect(notes).toMatch(/^\n### /);
  expect(notes).not.toMatch(/^## /m);
});

test("a tag on this commit is this version's", async () => {
  const tags = (await run("git", "tag", "--points-at", "HEAD")).split("\n").filter((tag) => /^v\d/.test(tag));
  expect([[], [`v${version}`]]).toContainEqual(tags);
});

test("another tag has no notes", async () => {
  await expect(run(".ci/release-notes", "v0.0.1")).rejects.toThrow(`package.json's version ${version}`);
});
