// An OpenID Provider as many are built: npm oidc-provider. Its sessions live in memory, or in Redis
// where one is given. Of lightsout it knows one call: what a relying party's session is called is
// registered before the token response leaves, so nobody is signed in without that.
import fs from "node:fs";
import http from "node:http";
import Provider from "oidc-provider";
import { createClient } from "redis";

const given = JSON.parse(fs.readFileSync(0, "utf8"));
const redis = given.redis && (await createClient({ url: given.redis }).connect());

class Adapter {
  static rows = new Map();

  constructor(model) {
    this.model = model;
    this.inRedis = redis && model === "Session";
  }

  key(id) {
    return `${given.prefix}${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    if (payload.uid) Adapter.rows.set(`uid:${payload.uid}`, id);
    if (this.inRedis) return redis.set(this.key(id), JSON.stringify(payload), { EX: expiresIn });
    Adapter.rows.set(this.key(id), payload);
  }

  async find(id) {
    if (this.inRedis) return JSON.parse((await redis.get(this.key(id))) ?? "null") ?? undefined;
    return Adapter.rows.get(this.key(id));
  }

  async findByUid(uid) {
    return this.find(Adapter.rows.get(`uid:${uid}`));
  }

  async consume(id) {
    Adapter.rows.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    if (this.inRedis) return redis.del(this.key(id));
    Adapter.rows.delete(this.key(id));
  }

  async revokeByGrantId() {}
}

// Where it signs people in at a relying party that knows them by e-mail.
const withEmail = given.email && {
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  conformIdTokenClaims: false,
};

const provider = new Provider(given.issuer, {
  ...withEmail,
  adapter: Adapter,
  clients: [
    {
      client_id: given.client_id,
      client_secret: given.client_secret,
      redirect_uris: [given.redirect_uri],
      grant_types: ["authorization_code"],
      response_types: ["code"],
      token_endpoint_auth_method: "client_secret_post",
      id_token_signed_response_alg: given.algorithm,
      ...(given.logout_uri && {
        backchannel_logout_uri: given.logout_uri,
        // Without it, ID tokens carry no sid.
        backchannel_logout_session_required: true,
      }),
    },
  ],
  jwks: given.jwks,
  cookies: { keys: ["keyboard cat"] },
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
  pkce: { required: () => false },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: async () => ({ sub, ...(given.email && { email: sub, email_verified: true, name: sub }) }),
  }),
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope(given.email ? "openid email profile" : "openid");
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  await next();
  if (!given.lightsout) return;
  const code = ctx.oidc?.entities?.AuthorizationCode;
  if (ctx.oidc?.route !== "token" || ctx.status !== 200 || !code?.sid) return;
  const reply = await fetch(`${given.lightsout}/v1/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${given.token}` },
    body: JSON.stringify({
      sessions: [
        {
          login: code.accountId,
          oidc: { iss: given.issuer, client_id: code.clientId, sub: code.accountId, sid: code.sid },
        },
      ],
    }),
  });
  if (reply.status !== 201) {
    ctx.status = 503;
    ctx.body = { error: "temporarily_unavailable" };
  }
});

const callback = provider.callback();
const server = http.createServer(async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return callback(request, response);
  try {
    if (request.method === "GET") {
      response.setHeader("content-type", "text/html; charset=utf-8");
      return response.end(
        `<!doctype html><html lang="en"><title>Acme ID</title><link rel="icon" href="data:,"><form method="post"><label>Who are you? <input name="login"></label><button>Go on</button></form>`,
      );
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    const accountId = new URLSearchParams(body).get("login");
    await provider.interactionFinished(request, response, { login: { accountId } });
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(given.port, "127.0.0.1", () => console.log(JSON.stringify({ port: given.port })));
