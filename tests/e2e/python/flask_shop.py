"""A shop with its sessions in Redis: Flask, Flask-Login, Flask-Session. Nothing in it knows of lightsout."""

from flask import Flask, jsonify, session
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_session import Session
from redis import Redis

from shop import Gate, given, serve

app, gate = Flask(__name__), Gate()
app.config |= {"SESSION_TYPE": "redis", "SESSION_REDIS": Redis.from_url(given["redis"])}
app.secret_key = "keyboard cat"
Session(app)
logins = LoginManager(app)


class User(UserMixin):
    def __init__(self, login: str) -> None:
        self.id = login


@logins.user_loader
def load_user(login: str) -> User:
    return User(login)


@app.post("/login/<login>")
def sign_in(login: str):
    login_user(User(login))
    return {"login": login}


@app.get("/me")
def me():
    if not current_user.is_authenticated:
        return {"error": "sign in"}, 401
    return {"login": current_user.id}


@app.post("/browse")
def browse():
    """A request that is under way until the test lets it go on, and only reads its session."""
    answer = me()
    gate.wait()
    return answer


@app.post("/order")
def order():
    """The same, but it changes its session at its end."""
    answer = browse()
    session["orders"] = session.get("orders", 0) + 1
    return answer


@app.get("/under-way")
def under_way():
    return jsonify(gate.under_way())


@app.post("/let-go")
def let_go():
    gate.let_go()
    return {}


serve(app)
