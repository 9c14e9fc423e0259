// For `just bench`: how long better-auth takes to end every session of so many users.
// Arguments: a file for its database, the number of users, and of sessions of each.
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { admin } from "better-auth/plugins";
import { LibsqlDialect, libsql } from "@libsql/kysely-libsql";

const [file, users, sessionsEach] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const client = libsql.createClient({ url: `file:${file}` });
await client.execute("PRAGMA journal_mode = WAL");
const auth = betterAuth({
  baseURL: "http://127.0.0.1",
  secret: "keyboard cat, and then some more of it",
  database: { dialect: new LibsqlDialect({ client }), type: "sqlite" },
  emailAndPassword: { enabled: true },
  plugins: [admin()],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});
await (await getMigrations(auth.options)).runMigrations();

const call = (path, body, cookie) =>
  auth.handler(
    new Request(`http://127.0.0.1/api/auth/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: "http://127.0.0.1", ...(cookie && { cookie }) },
      body: JSON.stringify(body),
    }),
  );

const operator = { email: "ada@bench.example", password: "correct horse battery", name: "Ada" };
if (!(await call("sign-up/email", operator)).ok) throw new Error("cannot sign up");
await client.execute("UPDATE user SET role = 'admin'");
const cookie = (await call("sign-in/email", operator)).headers.getSetCookie()[0].split(";")[0];

const now = new Date().toISOString();
const expires = new Date(Date.now() + 7 * 86_400_000).toISOString();
const statements = [];
for (let n = 0; n < users; n++) {
  statements.push({
    sql: "INSERT INTO user (id, name, email, emailVerified, createdAt, updatedAt, role) VALUES (?, ?, ?, 1, ?, ?, 'user')",
    args: [`user${n}`, `Person ${n}`, `person${n}@bench.example`, now, now],
  });
  for (let k = 0; k < sessionsEach; k++) {
    statements.push({
      sql: "INSERT INTO session (id, expiresAt, token, createdAt, updatedAt, ipAddress, userAgent, userId) VALUES (?, ?, ?, ?, ?, '192.0.2.17', 'Firefox', ?)",
      args: [`session${n}-${k}`, expires, `token-${n}-${k}-0123456789abcdef`, now, now, `user${n}`],
    });
  }
}
await client.batch(statements, "write");

const left = async () =>
  Number((await client.execute("SELECT count(*) AS n FROM session WHERE userId LIKE 'user%'")).rows[0].n);
if ((await left()) !== users * sessionsEach) throw new Error("not every session is there");
const started = performance.now();
for (let n = 0; n < users; n++) {
  const reply = await call("admin/revoke-user-sessions", { userId: `user${n}` }, cookie);
  if (!reply.ok) throw new Error(`user${n}: ${reply.status} ${await reply.text()}`);
}
const seconds = (performance.now() - started) / 1000;
if ((await left()) !== 0) throw new Error("a session is left");
console.log(JSON.stringify({ seconds }));
process.exit(0);
