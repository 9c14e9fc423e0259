// Ends whom it is told with one call, and prints what came back.
const { connect, print, run } = require("./client.js");

run(async () => {
  const { given, client } = connect();
  const acting = given.asUser ? client.withAsUserHeader(given.asUser) : client;
  const { message } = await acting.sessionTermination[given.method](given.body);
  print({ message });
});
