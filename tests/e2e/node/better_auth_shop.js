// A shop that leaves signing in to better-auth, with its tables in SQLite. Nothing in it knows of
// lightsout.
const express = require("express");
const { LibsqlDialect, libsql } = require("@libsql/kysely-libsql");
const { controls, gate, given, printPort } = require("./gate.js");

async function main() {
  const { betterAuth } = await import("better-auth");
  const { getMigrations } = await import("better-auth/db/migration");
  const { fromNodeHeaders, toNodeHandler } = await import("better-auth/node");
  const app = express();
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));

  // Without it, whoever reads while somebody else writes is told that the database is locked.
  const client = libsql.createClient({ url: `file:${given.file}` });
  await client.execute("PRAGMA journal_mode = WAL");

  const auth = betterAuth({
    baseURL: `http://127.0.0.1:${server.address().port}`,
    secret: "keyboard cat, and then some more of it",
    database: { dialect: new LibsqlDialect({ client }), type: "sqlite" },
    emailAndPassword: { enabled: true, autoSignIn: false },
    session: { cookieCache: { enabled: Boolean(given.cookieCacheS), maxAge: given.cookieCacheS } },
    telemetry: { enabled: false },
  });
  await (await getMigrations(auth.options)).runMigrations();

  controls(app);
  app.all("/api/auth/*any", toNodeHandler(auth));
  const signedIn = async (request, response, next) => {
    const found = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
    if (!found) return response.status(401).json({ error: "sign in" });
    request.found = found;
    next();
  };
  app.get("/me", signedIn, (request, response) => response.json({ login: request.found.user.email }));

  // A request that is under way until the test lets it go on, and only reads its session.
  app.post("/browse", signedIn, async (request, response) => {
    await gate();
    response.json({});
  });
  // The same, but it changes its user at its end, with which better-auth writes the session's cookies anew.
  app.post("/order", signedIn, async (request, response) => {
    await gate();
    await auth.api.updateUser({ headers: fromNodeHeaders(request.headers), body: { name: "Ordered" } });
    response.json({});
  });
  printPort(server);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
