// For `just bench`: oidc-provider with so many opaque access tokens in memory, to be introspected.
// Arguments: a file that tells the tokens and how to call, and the number of tokens.
import fs from "node:fs";
import http from "node:http";
import Provider from "oidc-provider";

// Its notices are no part of what is printed.
console.info = console.error;

const [file, count] = [process.argv[2], Number(process.argv[3])];

class Adapter {
  static rows = new Map();

  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload) {
    Adapter.rows.set(`${this.model}:${id}`, payload);
  }

  async find(id) {
    return Adapter.rows.get(`${this.model}:${id}`);
  }

  async destroy(id) {
    Adapter.rows.delete(`${this.model}:${id}`);
  }
}

const [clientId, secret] = ["bench", "a-secret-of-the-bench"];
const provider = new Provider("http://127.0.0.1", {
  adapter: Adapter,
  clients: [
    {
      client_id: clientId,
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  cookies: { keys: ["keyboard cat"] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
  },
  ttl: { ClientCredentials: 3600 },
});

const client = await provider.Client.find(clientId);
const tokens = [];
for (let n = 0; n < count; n++) {
  tokens.push(await new provider.ClientCredentials({ client, scope: undefined }).save());
}
const authorization = `Basic ${Buffer.from(`${clientId}:${secret}`).toString("base64")}`;
fs.writeFileSync(file, JSON.stringify({ authorization, tokens }));
const server = http.createServer(provider.callback());
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
