// An Express shop with its sessions in its own memory, where nothing can end them: it follows the barrier
// feed with the example of the documentation.
import express from "express";
import session from "express-session";
import gate from "./gate.js";
import { BarrierGuard, clientCredentials, refuseEnded } from "../../../docs/examples/barrier_guard.mjs";

const { given } = gate;
const guard = new BarrierGuard({
  url: given.url,
  token: clientCredentials({ ...given.app, url: given.url }),
  clockSkewMs: 0,
  staleAfterMs: given.staleAfterS * 1000,
});

const app = express();
app.get("/is-stale", (request, response) => response.json(guard.isStale()));
app.use(session({ secret: "keyboard cat", resave: false, saveUninitialized: false }));
const sessionOf = (request) => request.session.user && { user: request.session.user.login, beganAt: request.session.beganAt };
app.use(refuseEnded(guard, sessionOf, { admitWhenStale: given.admitWhenStale }));

app.post("/login/:login", (request, response) => {
  request.session.regenerate(() => {
    request.session.user = { login: request.params.login };
    request.session.beganAt = Date.now();
    response.json({});
  });
});
app.get("/me", (request, response) => {
  if (!request.session.user) return response.status(401).json({ error: "sign in" });
  response.json(request.session.user);
});
gate.serve(app);
