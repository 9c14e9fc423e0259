// Two clients of OAuth as apps have them, told nothing but addresses: npm openid-client, which finds the
// rest by discovery, and Box's Node SDK. One JSON object a line in, one out.
import { createRequire } from "node:module";
import readline from "node:readline";
import * as openid from "openid-client";

const { BoxClient, BoxOAuth, OAuthConfig } = createRequire(import.meta.url)("box-node-sdk");
const { NetworkSession } = createRequire(import.meta.url)("box-node-sdk/networking");
const { BaseUrls } = createRequire(import.meta.url)("box-node-sdk/networking");

let config, checks, redirectUri, tokens;

const kept = (reply) => {
  tokens = reply;
  return { scope: reply.scope, expires_in: reply.expires_in, token_type: reply.token_type, refresh_token: reply.refresh_token, access_token: reply.access_token };
};

const openidClient = {
  async discover({ issuer, client_id, client_secret, redirect_uri }) {
    const auth = client_secret ? openid.ClientSecretPost(client_secret) : openid.None();
    const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
    config = await openid.discovery(new URL(issuer), client_id, {}, auth, options);
    redirectUri = redirect_uri;
    return config.serverMetadata();
  },
  async authorize({ scope }) {
    checks = { pkceCodeVerifier: openid.randomPKCECodeVerifier(), expectedState: openid.randomState() };
    const parameters = {
      redirect_uri: redirectUri,
      scope,
      code_challenge: await openid.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
      code_challenge_method: "S256",
      state: checks.expectedState,
    };
    return openid.buildAuthorizationUrl(config, parameters).href;
  },
  // It checks state and iss of the address before it sends the code.
  exchange: async ({ url }) => kept(await openid.authorizationCodeGrant(config, new URL(url), checks)),
  refresh: async ({ refresh_token }) => kept(await openid.refreshTokenGrant(config, refresh_token ?? tokens.refresh_token)),
  async downscope({ scope }) {
    const parameters = {
      subject_token: tokens.access_token,
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      scope,
    };
    const grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    return openid.genericGrantRequest(config, grant, parameters);
  },
  async call({ path, access_token }) {
    const url = new URL(path, config.serverMetadata().issuer);
    const response = await fetch(url, { headers: { authorization: `Bearer ${access_token ?? tokens.access_token}` } });
    return { status: response.status, body: await response.json().catch(() => null) };
  },
  async revoke() {
    await openid.tokenRevocation(config, tokens.refresh_token);
    return null;
  },
};

let auth, box;

const boxClient = {
  box({ url, client_id, client_secret }) {
    auth = new BoxOAuth({ config: new OAuthConfig({ clientId: client_id, clientSecret: client_secret }) });
    const baseUrls = new BaseUrls({ baseUrl: url, uploadUrl: url, oauth2Url: `${url}/api/oauth2` });
    box = { session: new NetworkSession({ baseUrls }) };
    box.client = new BoxClient({ auth, networkSession: box.session });
    return auth.getAuthorizeUrl({ state: "of-box" });
  },
  box_exchange: async ({ code }) => (await auth.getTokensAuthorizationCodeGrant(code, box.session)).refreshToken,
  box_me: async () => (await box.client.users.getUserMe()).login,
  box_refresh: async () => (await auth.refreshToken(box.session)).refreshToken,
  box_downscope: async ({ scopes }) => (await auth.downscopeToken(scopes, undefined, undefined, box.session)).accessToken,
  box_token: async () => (await auth.retrieveToken(box.session)).accessToken,
  async box_revoke() {
    await auth.revokeToken(box.session);
    return null;
  },
};

const ops = { ...openidClient, ...boxClient };
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { op, ...given } = JSON.parse(line);
  let reply;
  try {
    reply = { value: (await ops[op](given)) ?? null };
  } catch (error) {
    reply = { error: error.error ?? error.code ?? error.name, message: String(error.message), status: error.status ?? null };
  }
  console.log(JSON.stringify(reply));
}
