// Makes the calls that it is given, one after the other; what each answered, or how it was refused.
const { connect, print, run } = require("./client.js");

run(async () => {
  const { given, client } = connect();
  const answers = [];
  for (const call of given.calls) {
    const acting = call.asUser ? client.withAsUserHeader(call.asUser) : client;
    try {
      const answer = await acting[call.manager][call.method](...(call.arguments ?? []));
      answers.push({ answer: { id: answer.id, message: answer.message } });
    } catch (error) {
      const info = error.responseInfo ?? {};
      // The SDK keeps the quotes of the JSON text around strings.
      const plain = (text) => text?.replace(/^"|"$/g, "");
      answers.push({
        error: error.name,
        message: error.message,
        status: info.statusCode,
        code: plain(info.code),
        requestId: plain(info.requestId),
        contextInfo: info.contextInfo,
      });
    }
  }
  print(answers);
});
