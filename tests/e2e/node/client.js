// Builds a client of Box's Node SDK from what the test hands over: only the base URLs are ours.
const fs = require("node:fs");
const { BoxClient, BoxDeveloperTokenAuth, BoxCcgAuth, BoxJwtAuth, CcgConfig, JwtConfig } = require("box-node-sdk");
const { NetworkSession } = require("box-node-sdk/networking");
const { BaseUrls } = require("box-node-sdk/networking");

function authOf(given) {
  if (given.token) return new BoxDeveloperTokenAuth({ token: given.token });
  let auth;
  if (given.jwt) {
    auth = new BoxJwtAuth({ config: JwtConfig.fromConfigJsonString(given.jwt) });
  } else {
    auth = new BoxCcgAuth({ config: new CcgConfig(given.ccg) });
  }
  return given.userId ? auth.withUserSubject(given.userId) : auth;
}

// The JSON object on standard input, and a client for it.
exports.connect = () => {
  const given = JSON.parse(fs.readFileSync(0, "utf8"));
  const baseUrls = new BaseUrls({ baseUrl: given.url, uploadUrl: given.url, oauth2Url: `${given.url}/api/oauth2` });
  return { given, client: new BoxClient({ auth: authOf(given), networkSession: new NetworkSession({ baseUrls }) }) };
};

exports.print = (found) => console.log(JSON.stringify(found));

exports.run = (main) =>
  main().catch((error) => {
    console.error(error);
    process.exit(1);
  });
