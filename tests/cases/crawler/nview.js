// Prints the paths that an episode's page holds packed: the packed text on stdin, the key as argument.
const key = Number(process.argv[2]);
const packed = require("fs").readFileSync(0, "utf8").trim();
const bytes = Buffer.from(packed, "base64").map((byte) => byte ^ key);
const episode = JSON.parse(bytes.toString("utf8"));
const paths = [];
for (let page = 1; page <= episode.pages; page += 1) {
  paths.push(encodeURI(`/img/${episode.name}/${String(page).padStart(3, "0")}.jpg`));
}
console.log(JSON.stringify(paths));
