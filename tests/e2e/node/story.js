// Makes people and a group, ends them by id, login and group, and pages through the admin events.
const { connect, print, run } = require("./client.js");

async function events(client, streamType, limit, eventType) {
  const entries = [];
  let streamPosition = "0";
  for (;;) {
    const page = await client.events.getEvents({ streamType, streamPosition, limit, eventType });
    if (page.entries.length === 0) return entries;
    entries.push(...page.entries);
    streamPosition = String(page.nextStreamPosition);
  }
}

async function markers(client) {
  const ids = [];
  let marker;
  do {
    const page = await client.users.getUsers({ usemarker: true, limit: 2, marker });
    ids.push(...page.entries.map((user) => user.id));
    marker = page.nextMarker;
  } while (marker);
  return ids;
}

run(async () => {
  const { given, client } = connect();
  const users = [];
  for (const login of given.logins) users.push(await client.users.createUser({ name: "Person", login }));
  const group = await client.groups.createGroup({ name: given.group });
  for (const user of users.slice(1)) {
    await client.memberships.createGroupMembership({ user: { id: user.id }, group: { id: group.id } });
  }
  const members = await client.memberships.getGroupMemberships(group.id);

  const byUser = await client.sessionTermination.terminateUsersSessions({
    userIds: [users[0].id],
    userLogins: [users[1].login.toUpperCase()],
  });
  const byGroup = await client.sessionTermination.terminateGroupsSessions({ groupIds: [group.id] });

  const deadline = Date.now() + 20000;
  let done = [];
  while (done.length < 2 && Date.now() < deadline) {
    done = await events(client, "admin_logs", 500, ["SESSION_TERMINATION_DONE"]);
  }
  const outcomes = await events(client, "admin_logs_streaming", 2, ["SESSION_TERMINATION_OUTCOME"]);
  print({
    users: users.map((user) => user.id),
    members: members.entries.map((member) => member.user.id),
    offset: (await client.users.getUsers({ limit: 1000, offset: 0 })).entries.map((user) => user.id),
    marker: await markers(client),
    messages: [byUser.message, byGroup.message],
    done: done.map((event) => event.additionalDetails.state),
    outcomes: outcomes.map((event) => event.source.id),
  });
});
