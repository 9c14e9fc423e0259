// Follows the barrier feed of lightsout, and refuses the sessions that it ended. Node 20, no package.
// Copy it into your app. docs/barriers.md explains what it does and what you choose.

import { setTimeout as delay } from "node:timers/promises";

export class BarrierGuard {
  #barriers = new Map();
  #heardAt = -Infinity;
  #lastEventId;
  #refused = false;

  // token: an async function that answers an access token of an app with the right `feed`; it is given
  // true if the last one was refused.
  // knownBy: "login", "user_id" or "external_id", the name that your sessions have of a person.
  constructor({ url, token, knownBy = "login", clockSkewMs = 5000, staleAfterMs = 5000 }) {
    Object.assign(this, { url, token, knownBy, clockSkewMs, staleAfterMs });
    this.follow();
  }

  // Whether a session of this user that began at this time (milliseconds since 1970) was ended.
  isEnded(user, beganAt) {
    return beganAt <= (this.#barriers.get(this.fold(user)) ?? -Infinity);
  }

  // Whether the service was not heard for so long that it may have ended others meanwhile.
  isStale() {
    return performance.now() - this.#heardAt >= this.staleAfterMs;
  }

  fold(user) {
    return this.knownBy === "login" ? user.trim().toLowerCase() : user;
  }

  async follow() {
    for (;;) {
      try {
        await this.#read();
      } catch (error) {
        console.error(`barrier feed: ${error.message}`);
      }
      await delay(250 + 750 * Math.random());
    }
  }

  async #read() {
    const silence = new AbortController();
    const headers = { accept: "text/event-stream", authorization: `Bearer ${await this.token(this.#refused)}` };
    if (this.#lastEventId) headers["last-event-id"] = this.#lastEventId;
    // A heartbeat comes every second. A stream without one is opened anew, perhaps at another node.
    const timer = setTimeout(() => silence.abort(new Error("silence")), 10_000);
    try {
      const response = await fetch(`${this.url}/v1/barriers`, { headers, signal: silence.signal });
      this.#refused = response.status === 401;
      if (!response.ok) throw new Error(`status ${response.status}`);
      let text = "";
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const message = Object.fromEntries(text.slice(0, end).split("\n").map((line) => line.split(/: ?(.*)/s)));
          if (message.event !== "barriers" && message.event !== "heartbeat") continue;
          this.#learn(JSON.parse(message.data).barriers ?? []);
          this.#lastEventId = message.id;
          // After a message there may be more to come: only a heartbeat says that nothing is missing.
          if (message.event === "heartbeat") this.#heardAt = performance.now();
          timer.refresh();
        }
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  #learn(barriers) {
    for (const barrier of barriers) {
      if (!barrier[this.knownBy]) continue;
      const user = this.fold(barrier[this.knownBy]);
      const until = Date.parse(barrier.cutoff) + this.clockSkewMs;
      // An older barrier may come late, and changes nothing.
      this.#barriers.set(user, Math.max(until, this.#barriers.get(user) ?? -Infinity));
    }
  }
}

// Express middleware, after express-session: refuses ended sessions. `sessionOf` answers { user, beganAt }
// of a request, or nothing. While the guard is stale it refuses (fail closed) unless `admitWhenStale`.
export function refuseEnded(guard, sessionOf, { admitWhenStale = false } = {}) {
  return (request, response, next) => {
    const session = sessionOf(request);
    if (!session) return next();
    if (guard.isEnded(session.user, session.beganAt)) {
      return request.session.destroy(() => response.status(401).json({ error: "session ended" }));
    }
    if (guard.isStale() && !admitWhenStale) {
      return response.status(503).set("retry-after", "1").json({ error: "try again" });
    }
    next();
  };
}

// Gets access tokens by client credentials, a new one a minute before the last one ends.
export function clientCredentials({ url, clientId, clientSecret, enterpriseId }) {
  let token, renewAt = 0;
  return async (refused) => {
    if (!refused && performance.now() < renewAt) return token;
    const body = new URLSearchParams({
      grant_type: "client_credentials", client_id: clientId, client_secret: clientSecret,
      box_subject_type: "enterprise", box_subject_id: enterpriseId,
    });
    const response = await fetch(`${url}/oauth2/token`, { method: "POST", body, signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`token: status ${response.status}`);
    const { access_token, expires_in } = await response.json();
    [token, renewAt] = [access_token, performance.now() + (expires_in - 60) * 1000];
    return token;
  };
}
