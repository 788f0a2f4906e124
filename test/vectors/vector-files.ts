// What tests read of the files of published vectors: `inject("vectors")`. Types only.
import type {} from "vitest";

export interface Vector {
  tcId: number;
  comment: string;
  jws: string;
  result: "valid" | "invalid";
}

export interface VectorFile {
  numberOfTests: number;
  testGroups: {
    /** A key, or a set of keys; if it is missing, the keys are symmetric. */
    public?: object;
    private?: object;
    tests: Vector[];
  }[];
}

export interface VectorFiles {
  signatures: VectorFile;
  keys: VectorFile;
}

declare module "vitest" {
  interface ProvidedContext {
    vectors: VectorFiles | undefined;
  }
}
