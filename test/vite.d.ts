// What Vite makes of an import that ends like this: the file's text; and its import of all files that fit a pattern.
declare module "*?raw" {
  const text: string;
  export default text;
}

interface ImportMeta {
  glob<T>(patterns: string[], options: { query: string; import: string; eager: true }): Record<string, T>;
}
