"""Follows the barrier feed of lightsout, and refuses the sessions that it ended. Python 3.11, no package.

Copy it into your app. docs/barriers.md explains what it does and what you choose.
"""

import json
import random
import sys
import threading
import time
import urllib.parse
import urllib.request
from datetime import datetime


class BarrierGuard:
    """Knows which sessions were ended. Each process of the app has one.

    `token` is a function that answers an access token of an app with the right `feed`; it is given True
    if the last one was refused. `known_by` is "login", "user_id" or "external_id", the name that the
    sessions have of a person.
    """

    def __init__(self, url, token, known_by="login", clock_skew_s=5.0, stale_after_s=5.0):
        self.url, self.token, self.known_by = url, token, known_by
        self.clock_skew_s, self.stale_after_s = clock_skew_s, stale_after_s
        self.barriers, self.last_event_id, self.heard_at, self.refused = {}, None, None, False
        threading.Thread(target=self.follow, name="barriers", daemon=True).start()

    def is_ended(self, user, began_at):
        """Whether a session of this user that began at this time (seconds since 1970) was ended."""
        return began_at <= self.barriers.get(self.fold(user), float("-inf"))

    def is_stale(self):
        """Whether the service was not heard for so long that it may have ended others meanwhile."""
        heard_at = self.heard_at
        return heard_at is None or time.monotonic() - heard_at >= self.stale_after_s

    def fold(self, user):
        return user.strip().lower() if self.known_by == "login" else user

    def follow(self):
        while True:
            try:
                self.read()
            except Exception as error:  # Whatever it is, it may pass: a guard never gives up.
                self.refused = getattr(error, "code", None) == 401
                print(f"barrier feed: {error}", file=sys.stderr)
            time.sleep(random.uniform(0.25, 1))

    def read(self):
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.token(self.refused)}"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        request = urllib.request.Request(f"{self.url}/v1/barriers", headers=headers)
        # A heartbeat comes every second. A stream without one is opened anew, perhaps at another node.
        with urllib.request.urlopen(request, timeout=10) as stream:
            message = {}
            for line in stream:
                name, _, value = line.decode().rstrip("\r\n").partition(":")
                if name:
                    message[name] = value.removeprefix(" ")
                    continue
                # An empty line ends a message.
                if message.get("event") in ("barriers", "heartbeat"):
                    self.learn(json.loads(message["data"]).get("barriers", []))
                    self.last_event_id = message["id"]
                    # After a message there may be more to come: only a heartbeat says that nothing is missing.
                    if message["event"] == "heartbeat":
                        self.heard_at = time.monotonic()
                message = {}

    def learn(self, barriers):
        for barrier in barriers:
            if barrier.get(self.known_by):
                user = self.fold(barrier[self.known_by])
                cutoff = datetime.fromisoformat(barrier["cutoff"]).timestamp()
                # An older barrier may come late, and changes nothing.
                self.barriers[user] = max(cutoff + self.clock_skew_s, self.barriers.get(user, 0))


class RefuseEnded:
    """WSGI middleware that refuses ended sessions: `app.wsgi_app = RefuseEnded(app.wsgi_app, guard, session_of)`.

    `session_of` answers (user, began_at) of a WSGI environment, or None. While the guard is stale it
    refuses (fail closed) unless `admit_when_stale`.
    """

    def __init__(self, app, guard, session_of, admit_when_stale=False):
        self.app, self.guard, self.session_of, self.admit = app, guard, session_of, admit_when_stale

    def __call__(self, environ, start_response):
        session = self.session_of(environ)
        if session and self.guard.is_ended(*session):
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return []
        if session and self.guard.is_stale() and not self.admit:
            start_response("503 Service Unavailable", [("Retry-After", "1"), ("Content-Length", "0")])
            return []
        return self.app(environ, start_response)


def client_credentials(url, client_id, client_secret, enterprise_id):
    """Gets access tokens by client credentials, a new one a minute before the last one ends."""
    known = {"renew_at": float("-inf")}

    def token(refused):
        if refused or time.monotonic() >= known["renew_at"]:
            form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret,
                    "box_subject_type": "enterprise", "box_subject_id": enterprise_id}
            data = urllib.parse.urlencode(form).encode()
            with urllib.request.urlopen(f"{url}/oauth2/token", data, timeout=10) as reply:
                answer = json.load(reply)
            known.update(token=answer["access_token"], renew_at=time.monotonic() + answer["expires_in"] - 60)
        return known["token"]

    return token
