// The API reference: Swagger UI on /openapi.json, with authorization code and PKCE where the document names the issuer's
// endpoints and a client. Tokens live in this page's memory only.
const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  showCommonExtensions: true,
  defaultModelExpandDepth: 3,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  // The badge would send the document's address to somebody else's server.
  validatorUrl: null,
  oauth2RedirectUrl: `${location.origin}/docs/oauth2-redirect`,
  onComplete() {
    const schemes = ui.specSelectors.specJson().getIn(["components", "securitySchemes"]);
    const clientId = schemes.map((scheme) => scheme.get("x-client-id")).find(Boolean);
    ui.initOAuth({ clientId, usePkceWithAuthorizationCodeGrant: true });
  },
});
