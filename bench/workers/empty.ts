// A Worker that does nothing: the cost of workerd itself at start.

export default { fetch: () => new Response() };
