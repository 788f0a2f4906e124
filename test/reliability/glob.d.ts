// Vite's import of all files that fit a pattern.
interface ImportMeta {
  glob<T>(patterns: string[], options: { query: string; import: string; eager: true }): Record<string, T>;
}
