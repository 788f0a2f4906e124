// A Worker that does nothing: what workerd itself costs at start.

export default { fetch: () => new Response() };
