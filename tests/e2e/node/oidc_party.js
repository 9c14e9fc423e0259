// A relying party as many are built: Express and express-openid-connect with back-channel logout.
const fs = require("node:fs");
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const { auth, requiresAuth } = require("express-openid-connect");

const given = JSON.parse(fs.readFileSync(0, "utf8"));
const claims = (idToken) => JSON.parse(Buffer.from(idToken.split(".")[1], "base64url"));

async function main() {
  const client = await createClient({ url: given.redis }).connect();
  const store = new RedisStore({ client, prefix: given.prefix });
  const app = express();

  // A probe: whether a session of this sid stands in the store, and is not marked as logged out.
  app.get("/internal/sessions/:sid", async (request, response) => {
    if (request.get("authorization") !== `Bearer ${given.probe_token}`) return response.sendStatus(500);
    const sid = request.params.sid;
    const stored = (await store.all()).filter((s) => s.data?.id_token).map((s) => claims(s.data.id_token));
    const mine = stored.find((c) => c.sid === sid);
    const marked = async (name) => Boolean(await store.get(`${given.issuer}|${name}`));
    const lives = mine && !(await marked(sid)) && !(await marked(mine.sub));
    response.sendStatus(lives ? 200 : 404);
  });

  app.use(
    auth({
      issuerBaseURL: given.issuer,
      baseURL: given.url,
      clientID: given.client_id,
      clientSecret: given.client_secret,
      clientAuthMethod: "client_secret_post",
      secret: "a long secret for the cookies of this party",
      authRequired: false,
      idTokenSigningAlg: given.algorithm,
      authorizationParams: { response_type: "code", scope: "openid" },
      session: { store },
      backchannelLogout: true,
    }),
  );
  app.get("/", (request, response) => response.json({ signedIn: request.oidc.isAuthenticated() }));
  app.get("/me", (request, response) => {
    if (!request.oidc.isAuthenticated()) return response.status(401).json({ error: "sign in" });
    response.json({ sub: request.oidc.user.sub, sid: request.oidc.idTokenClaims.sid });
  });
  // Whoever is not signed in is sent to the provider.
  app.get("/private", requiresAuth(), (request, response) => response.json({ sub: request.oidc.user.sub }));
  app.listen(given.port, "127.0.0.1", () => console.log(JSON.stringify({ port: given.port })));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
