// Node's HTTP server, llhttp in its strict form, which says what it understood.
// Prints its port, answers every request with JSON, and ends with standard input.
import http from 'node:http';

const hex = (s) => Buffer.from(s, 'latin1').toString('hex');

function text(req, body) {
  const headers = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2) headers.push([hex(req.rawHeaders[i]), hex(req.rawHeaders[i + 1])]);
  return JSON.stringify({ method: req.method, target: req.url, headers, body: body.toString('hex') });
}

function answer(req, res) {
  const pieces = [];
  req.on('data', (piece) => pieces.push(piece));
  req.on('end', () => {
    const json = text(req, Buffer.concat(pieces));
    res.setHeader('Content-Length', Buffer.byteLength(json));
    res.end(json);
  });
}

const server = http.createServer({ insecureHTTPParser: false, requireHostHeader: true, maxHeaderSize: 64 * 1024, keepAliveTimeout: 60000 }, answer);
server.on('checkContinue', (req, res) => { res.writeContinue(); answer(req, res); });
// Who goes away early ends their own connection, also one that was upgraded, and not the server.
server.on('connection', (socket) => socket.on('error', () => {}));
server.on('upgrade', (req, socket) => {
  const json = text(req, Buffer.alloc(0));
  socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);
});
server.maxHeadersCount = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
