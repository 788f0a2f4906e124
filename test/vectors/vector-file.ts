// The part that is read of a file of vectors, and how it reaches the tests: `inject("vectors")`. Types only.
import type {} from "vitest";

export interface Vector {
  tcId: number;
  comment: string;
  jws: string;
  result: "valid" | "invalid";
  flags: string[];
}

export interface VectorFile {
  numberOfTests: number;
  testGroups: {
    comment: string;
    /** A key, or a set of keys; where it is missing, the keys are symmetric. */
    public?: object;
    private?: object;
    tests: Vector[];
  }[];
}

declare module "vitest" {
  interface ProvidedContext {
    vectors: { signatures: VectorFile; keys: VectorFile };
  }
}
