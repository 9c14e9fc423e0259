// What the shops share: what the test tells them, and requests that wait until the test lets them go.
const fs = require("node:fs");

// The JSON object on standard input.
exports.given = JSON.parse(fs.readFileSync(0, "utf8"));

let waiting = [];

// Waits for the next call of /let-go.
exports.gate = () => new Promise((resolve) => waiting.push(resolve));

// Adds the two controls to an Express app.
exports.controls = (app) => {
  app.get("/under-way", (request, response) => response.json(waiting.length));
  app.post("/let-go", (request, response) => {
    waiting.forEach((resolve) => resolve());
    waiting = [];
    response.json({});
  });
};

exports.serve = (app) => {
  const server = app.listen(0, "127.0.0.1", () => exports.printPort(server));
};

exports.printPort = (server) => console.log(JSON.stringify({ port: server.address().port }));
