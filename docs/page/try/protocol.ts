// The part of OAuth's protocol that a log-in needs: bundled by itself, because most readers never log in.
export {
  AuthorizationResponseError,
  None,
  OperationProcessingError,
  ResponseBodyError,
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  calculatePKCECodeChallenge,
  generateRandomCodeVerifier,
  generateRandomState,
  processAuthorizationCodeResponse,
  validateAuthResponse,
} from "oauth4webapi";
