// A shop as many are built: Express, express-session, and connect-redis or connect-pg-simple. Nothing
// in it knows of lightsout.
const express = require("express");
const session = require("express-session");
const { controls, gate, given, serve } = require("./gate.js");

// The sessions' store, and what is done at each sign-in besides.
async function redisStore() {
  const { RedisStore } = require("connect-redis");
  const { createClient } = require("redis");
  const client = createClient({ url: given.redis });
  await client.connect();
  const atSignIn = async (login, id) => {
    if (given.index) await client.sAdd(given.index.replace("{subject}", login), id);
  };
  return [new RedisStore({ client, prefix: given.prefix }), atSignIn];
}

function postgresStore() {
  const Store = require("connect-pg-simple")(session);
  return [new Store({ conString: given.postgres, createTableIfMissing: true }), async () => {}];
}

async function main() {
  const [store, atSignIn] = given.postgres ? postgresStore() : await redisStore();
  const app = express();
  controls(app);
  app.use(session({ store, secret: "keyboard cat", resave: given.resave ?? false, saveUninitialized: false }));

  app.post("/login/:login", async (request, response) => {
    request.session.user = { login: request.params.login };
    request.session.beganAt = Date.now();
    await atSignIn(request.params.login, request.sessionID);
    response.json({ id: request.sessionID });
  });

  const signedIn = (request, response, next) => {
    if (!request.session.user) return response.status(401).json({ error: "sign in" });
    next();
  };
  app.get("/me", signedIn, (request, response) => response.json(request.session.user));

  // A request that is under way until the test lets it go on, and only reads its session.
  app.post("/browse", signedIn, async (request, response) => {
    await gate();
    response.json({});
  });
  // The same, but it changes its session at its end.
  app.post("/order", signedIn, async (request, response) => {
    await gate();
    request.session.orders = (request.session.orders ?? 0) + 1;
    response.json({ orders: request.session.orders });
  });
  serve(app);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
