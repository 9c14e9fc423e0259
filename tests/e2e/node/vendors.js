// Makes the calls of one vendor with that vendor's own published client, told nothing but where to go.
const fs = require("node:fs");

const vendors = {
  async okta({ url, login, id }) {
    const { Client } = require("@okta/okta-sdk-nodejs");
    const client = new Client({ orgUrl: url, token: "the-token", cacheStore: undefined });
    await client.userApi.getUser({ userId: login });
    await client.userApi.revokeUserSessions({ userId: id, oauthTokens: true });
  },

  async entra({ url, login, id }) {
    const { Client } = require("@microsoft/microsoft-graph-client");
    const client = Client.init({
      baseUrl: url,
      customHosts: new Set([new URL(url).hostname]),
      authProvider: (done) => done(null, "the-token"),
    });
    await client.api(`/users/${encodeURIComponent(login)}`).select("id,userPrincipalName").get();
    await client.api(`/users/${id}/revokeSignInSessions`).post();
    await client.api(`/users/${id}`).select("signInSessionsValidFromDateTime").get();
  },

  async slack({ url, login, id }) {
    const { WebClient } = require("@slack/web-api");
    const client = new WebClient("the-token", { slackApiUrl: `${url}/api/` });
    await client.users.lookupByEmail({ email: login });
    await client.admin.users.session.list({ limit: 1000 });
    await client.admin.users.session.list({ limit: 1000, cursor: "second+page=" });
    await client.admin.users.session.resetBulk({ user_ids: [id] });
  },
};

const given = JSON.parse(fs.readFileSync(0, "utf8"));
vendors[given.vendor](given)
  .then(() => console.log(JSON.stringify({ done: true })))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
