"""A Flask shop whose sessions are signed cookies, which nothing can end: it follows the barrier feed with the
example of the documentation."""

import sys
import time
from pathlib import Path

from flask import Flask, jsonify, session

from shop import given, serve

sys.path.append(str(Path(__file__).parents[3] / "docs" / "examples"))
from barrier_guard import BarrierGuard, RefuseEnded, client_credentials

known_as = given["app"]
token = client_credentials(given["url"], known_as["clientId"], known_as["clientSecret"], known_as["enterpriseId"])
guard = BarrierGuard(given["url"], token, clock_skew_s=0, stale_after_s=given["staleAfterS"])
app = Flask(__name__)
app.secret_key = "keyboard cat"


def session_of(environ):
    """The session of a request's cookie, by Flask's own reading of it."""
    known = app.session_interface.open_session(app, app.request_class(environ))
    return (known["login"], known["began_at"]) if "login" in known else None


app.wsgi_app = RefuseEnded(app.wsgi_app, guard, session_of, admit_when_stale=given["admitWhenStale"])


@app.get("/is-stale")
def is_stale():
    return jsonify(guard.is_stale())


@app.post("/login/<login>")
def sign_in(login: str):
    session["login"], session["began_at"] = login, time.time()
    return {}


@app.get("/me")
def me():
    return ({"login": session["login"]}, 200) if "login" in session else ({"error": "sign in"}, 401)


serve(app)
