// A client of one of Box's Node SDKs (the package is the argument), and what its managers and auth classes do with
// tokens. One JSON object a line in, one out.
const fs = require("node:fs");
const http = require("node:http");
const readline = require("node:readline");

const name = process.argv[2];
const sdk = require(name);

const camelled = (field) => field.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const camel = (fields) => Object.fromEntries(Object.entries(fields).map(([field, value]) => [camelled(field), value]));
const pair = (token) => token && { access_token: token.accessToken, refresh_token: token.refreshToken ?? null };

// box-node-sdk 10 and box-typescript-sdk-gen 1, which are generated from Box's specification.
function generated() {
  let auth, client;
  const auths = {
    oauth: (app) => new sdk.BoxOAuth({ config: new sdk.OAuthConfig(app) }),
    ccg: (app, given) => new sdk.BoxCcgAuth({ config: new sdk.CcgConfig({ ...app, enterpriseId: given.enterprise_id }) }),
    jwt: (app, given) => new sdk.BoxJwtAuth({ config: sdk.JwtConfig.fromConfigJsonString(given.jwt_config) }),
  };
  return {
    connect({ url, way, ...given }) {
      auth = auths[way]({ clientId: given.client_id, clientSecret: given.client_secret }, given);
      const baseUrls = { baseUrl: url, uploadUrl: url, oauth2Url: `${url}/api/oauth2` };
      client = new sdk.BoxClient({ auth }).withCustomBaseUrls(baseUrls);
    },
    me: async () => (await client.users.getUserMe()).id,
    manager_authorize: ({ client_id }) => client.authorization.authorizeUser({ responseType: "code", clientId: client_id }),
    manager_request: async (fields) => pair(await client.authorization.requestAccessToken(camel(fields))),
    manager_refresh: async (fields) => pair(await client.authorization.refreshAccessToken(camel(fields))),
    manager_revoke: (fields) => client.authorization.revokeAccessToken(camel(fields)),
    exchange: async ({ code }) => pair(await auth.getTokensAuthorizationCodeGrant(code, client.networkSession)),
    refresh: async () => pair(await auth.refreshToken(client.networkSession)),
    downscope: async ({ scopes }) => pair(await auth.downscopeToken(scopes, undefined, undefined, client.networkSession)),
    revoke: () => auth.revokeToken(client.networkSession),
    stored: async () => pair(await auth.tokenStorage.get()),
    store: ({ access_token, refresh_token }) =>
      auth.tokenStorage.store({ accessToken: access_token, refreshToken: refresh_token }),
  };
}

// box-node-sdk 3, which was written by hand. Its own agent speaks https only, so it gets another.
function written() {
  let app, client;
  // A token store in a file, for programs that end and start again.
  const store = (file) => ({
    read: (done) => done(null, fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : {}),
    write: (token, done) => done(null, fs.writeFileSync(file, JSON.stringify(token))),
    clear: (done) => done(null, fs.rmSync(file, { force: true })),
  });
  return {
    connect({ url, way, ...given }) {
      const settings = JSON.parse(given.jwt_config ?? "null")?.boxAppSettings.appAuth;
      app = new sdk({
        clientID: given.client_id,
        clientSecret: given.client_secret,
        enterpriseID: given.enterprise_id,
        appAuth: settings && { ...settings, keyID: settings.publicKeyID },
        apiRootURL: url,
        request: { agentClass: http.Agent },
      });
      if (way === "ccg") client = app.getAnonymousClient();
      if (way === "jwt") client = app.getAppAuthClient("enterprise", given.enterprise_id, store(given.file));
      if (way === "oauth") client = app.getPersistentClient(JSON.parse(fs.readFileSync(given.file)), store(given.file));
    },
    me: async () => (await client.users.get(client.CURRENT_USER_ID)).id,
    manager_request: async ({ code }) => pair(await app.getTokensAuthorizationCodeGrant(code)),
    manager_refresh: async ({ refresh_token }) => pair(await app.getTokensRefreshGrant(refresh_token)),
    async manager_revoke({ token }) {
      const { statusCode } = await app.revokeTokens(token);
      if (statusCode !== 200) throw Object.assign(new Error("not revoked"), { statusCode });
    },
    downscope: async ({ scopes }) => pair(await client.exchangeToken(scopes)),
    async revoke() {
      await client.revokeTokens();
    },
  };
}

async function main() {
  const ops = name === "box-node-sdk-3" ? written() : generated();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { op, ...given } = JSON.parse(line);
    let reply;
    try {
      reply = { value: (await ops[op](given)) ?? null };
    } catch (error) {
      const status = error.responseInfo?.statusCode ?? error.statusCode ?? null;
      const code = (error.responseInfo?.body ?? error.response?.body)?.error ?? null;
      reply = { refused: { status, code, expired: error.authExpired ?? false, message: error.message } };
    }
    console.log(JSON.stringify(reply));
  }
}

main();
