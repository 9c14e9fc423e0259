// A shop as many are built: Express, express-session, connect-redis. Nothing in it knows of lightsout.
const fs = require("node:fs");
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");

const given = JSON.parse(fs.readFileSync(0, "utf8"));

async function main() {
  const client = createClient({ url: given.redis });
  await client.connect();
  const app = express();
  app.use(
    session({
      store: new RedisStore({ client, prefix: given.prefix }),
      secret: "keyboard cat",
      resave: false,
      saveUninitialized: false,
    }),
  );

  app.post("/login/:login", async (request, response) => {
    request.session.user = { login: request.params.login };
    request.session.beganAt = Date.now();
    if (given.index) await client.sAdd(given.index.replace("{subject}", request.params.login), request.sessionID);
    response.json({ id: request.sessionID });
  });

  const signedIn = (request, response, next) => {
    if (!request.session.user) return response.status(401).json({ error: "sign in" });
    next();
  };
  app.get("/me", signedIn, (request, response) => response.json(request.session.user));

  // A request that is under way until the test lets it go on, and saves its session at its end.
  let waiting = [];
  app.post("/order", signedIn, async (request, response) => {
    await new Promise((resolve) => waiting.push(resolve));
    request.session.orders = (request.session.orders ?? 0) + 1;
    response.json({ orders: request.session.orders });
  });
  app.get("/orders-under-way", (request, response) => response.json(waiting.length));
  app.post("/let-go", (request, response) => {
    waiting.forEach((resolve) => resolve());
    waiting = [];
    response.json({});
  });

  const server = app.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
