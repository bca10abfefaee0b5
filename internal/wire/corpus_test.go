package wire

import (
	"fmt"
	"strings"
)

// shape is something that a client may send, and what becomes of it.
type shape struct {
	name string
	send string
	// answered is how many requests reach the handler before the end or the refusal.
	answered int
	// reason is why the next one is refused; "" when all is well.
	reason Reason
	// ends says that the connection is closed although nothing was refused.
	ends bool
}

// get is a request with some header lines; each ends with CR LF.
func get(lines ...string) string {
	return "GET /p HTTP/1.1\r\nHost: home.example\r\n" + strings.Join(lines, "") + "\r\n"
}

// post is a request with some header lines and what follows them.
func post(lines, body string) string {
	return "POST /p HTTP/1.1\r\nHost: home.example\r\n" + lines + "\r\n" + body
}

const chunkedLine = "Transfer-Encoding: chunked\r\n"

// corpus is every shape that the tests know: for what is refused, for how it is
// answered, and for whether others understand what we take as we do.
func corpus() []shape {
	shapes := []shape{
		// Taken.
		{name: "plain", send: get(), answered: 1},
		{name: "query", send: "GET /a/b?c=d&e=%zz[]{}|^`\\~!$'()*,;:@/? HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "empty query", send: "GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "escapes", send: "GET /a%20b%2Fc%c3%a4;x=(y)!*',+&$@:= HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "dots", send: "GET /a/../b/./c/.. HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "slashes inside", send: "GET /a//b HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "host with port", send: "GET / HTTP/1.1\r\nHost: home.example:8123\r\n\r\n", answered: 1},
		{name: "host in capitals", send: "GET / HTTP/1.1\r\nHost: HOME.Example\r\n\r\n", answered: 1},
		{name: "host is IPv4", send: "GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", answered: 1},
		{name: "host is IPv6", send: "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n", answered: 1},
		{name: "host last", send: "GET / HTTP/1.1\r\nA: b\r\nHost: h\r\n\r\n", answered: 1},
		{name: "lower-case names", send: "GET / HTTP/1.1\r\nhost: h\r\naccept: */*\r\nx-thing: y\r\n\r\n", answered: 1},
		{name: "odd token name", send: get("!#$%&'*+-.^`|~9: x\r\n"), answered: 1},
		{name: "empty value", send: get("X-Empty:\r\n"), answered: 1},
		{name: "space around value", send: get("X-Space: \t padded value \t\r\n"), answered: 1},
		{name: "tab inside value", send: get("X-Tab: a\tb\r\n"), answered: 1},
		{name: "UTF-8 value", send: get("X-Name: Küche ☕\r\n"), answered: 1},
		{name: "same name twice", send: get("X-A: 1\r\n", "X-A: 2\r\n", "x-a: 3\r\n"), answered: 1},
		{name: "two cookies", send: get("Cookie: a=b; c=d\r\n", "Cookie: e=f\r\n"), answered: 1},
		{name: "accept", send: get("Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n", "Accept-Encoding: gzip, br\r\n"), answered: 1},
		{name: "bearer", send: get("Authorization: Bearer abc.def-ghi\r\n"), answered: 1},
		{name: "keep-alive", send: get("Connection: keep-alive\r\n"), answered: 1},
		{name: "keep-alive, te", send: get("Connection: keep-alive, TE\r\n", "TE: trailers\r\n"), answered: 1},
		{name: "close", send: get("Connection: close\r\n"), answered: 1, ends: true},
		{name: "close in capitals", send: get("Connection: CLOSE\r\n"), answered: 1, ends: true},
		{name: "close, then request", send: get("Connection: close\r\n") + get(), answered: 1, ends: true},
		{name: "GET with length 0", send: get("Content-Length: 0\r\n"), answered: 1},
		{name: "POST without body", send: post("", ""), answered: 1},
		{name: "POST with length 0", send: post("Content-Length: 0\r\n", ""), answered: 1},
		{name: "POST with body", send: post("Content-Length: 5\r\n", "a\r\n\r\n"), answered: 1},
		{name: "POST with request in body", send: post(fmt.Sprintf("Content-Length: %d\r\n", len(get())), get()), answered: 1},
		{name: "PUT", send: strings.Replace(post("Content-Length: 1\r\n", "x"), "POST", "PUT", 1), answered: 1},
		{name: "PATCH", send: strings.Replace(post("Content-Length: 1\r\n", "x"), "POST", "PATCH", 1), answered: 1},
		{name: "DELETE", send: "DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "DELETE with body", send: "DELETE /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", answered: 1},
		{name: "OPTIONS", send: "OPTIONS /x HTTP/1.1\r\nHost: h\r\nOrigin: https://h\r\nAccess-Control-Request-Method: GET\r\n\r\n", answered: 1},
		{name: "HEAD", send: "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "chunked", send: post(chunkedLine, "5\r\nhello\r\n0\r\n\r\n"), answered: 1},
		{name: "chunked, empty", send: post(chunkedLine, "0\r\n\r\n"), answered: 1},
		{name: "chunked, many", send: post(chunkedLine, strings.Repeat("1\r\nx\r\n", 300)+"0\r\n\r\n"), answered: 1},
		{name: "chunked, hex", send: post(chunkedLine, "1A\r\n"+strings.Repeat("z", 26)+"\r\n1a\r\n"+strings.Repeat("y", 26)+"\r\n00\r\n\r\n"), answered: 1},
		{name: "chunked, zeros", send: post(chunkedLine, "00000003\r\nabc\r\n0\r\n\r\n"), answered: 1},
		{name: "chunked, CRLF inside", send: post(chunkedLine, "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), answered: 1},
		{name: "chunked name in capitals", send: post("TRANSFER-ENCODING: chunked\r\n", "1\r\nx\r\n0\r\n\r\n"), answered: 1},
		{name: "expect", send: post("Content-Length: 3\r\nExpect: 100-continue\r\n", "abc"), answered: 1},
		{name: "expect in capitals", send: post("Content-Length: 3\r\nExpect: 100-Continue\r\n", "abc"), answered: 1},
		{name: "expect, chunked", send: post(chunkedLine+"Expect: 100-continue\r\n", "3\r\nabc\r\n0\r\n\r\n"), answered: 1},
		{name: "upgrade", send: get("Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), answered: 1, ends: true},
		{name: "upgrade, Firefox", send: get("Connection: keep-alive, Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), answered: 1, ends: true},
		{name: "upgrade, then request", send: get("Connection: Upgrade\r\n", "Upgrade: websocket\r\n") + get(), answered: 1, ends: true},
		{name: "option upgrade alone", send: get("Connection: upgrade\r\n"), answered: 1},
		{name: "pipelined", send: get("X-N: 1\r\n") + post("Content-Length: 2\r\n", "ab") + post(chunkedLine, "1\r\nx\r\n0\r\n\r\n") + get("X-N: 4\r\n"), answered: 4},
		{name: "underscore", send: get("X_Thing: 1\r\n", "X-Thing: 2\r\n"), answered: 1},
		{name: "longest line", send: get("X-Long: " + strings.Repeat("a", 24570-8) + "\r\n"), answered: 1},
		{name: "longest target", send: "GET /" + strings.Repeat("a", 24570-14) + " HTTP/1.1\r\nHost: h\r\n\r\n", answered: 1},
		{name: "most headers", send: get(strings.Repeat("A: b\r\n", 99)), answered: 1},

		// Line ends.
		{name: "bare LF", send: "GET / HTTP/1.1\nHost: h\n\n", reason: ReasonLineEnd},
		{name: "bare LF after request line", send: "GET / HTTP/1.1\nHost: h\r\n\r\n", reason: ReasonLineEnd},
		{name: "bare LF after header", send: "GET / HTTP/1.1\r\nHost: h\n\r\n", reason: ReasonLineEnd},
		{name: "bare LF at the end", send: "GET / HTTP/1.1\r\nHost: h\r\n\n", reason: ReasonLineEnd},
		{name: "bare CR in request line", send: "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLineEnd},
		{name: "bare CR in value", send: get("X-A: b\rX-B: c\r\n"), reason: ReasonLineEnd},
		{name: "bare CR in name", send: get("X-A\r: b\r\n"), reason: ReasonHeaderName},
		{name: "CR CR LF", send: get("X-A: b\r\r\n"), reason: ReasonLineEnd},
		{name: "CR CR LF at the end", send: "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n", reason: ReasonLineEnd},
		{name: "bare CR ends the head", send: "GET / HTTP/1.1\r\nHost: h\r\n\rGET /x HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLineEnd},
		{name: "empty line first", send: "\r\n" + get(), reason: ReasonLine},
		{name: "LF first", send: "\n" + get(), reason: ReasonLineEnd},
		{name: "empty line between", send: get() + "\r\n" + get(), answered: 1, reason: ReasonLine},
		{name: "empty line after body", send: post("Content-Length: 1\r\n", "x\r\n") + get(), answered: 1, reason: ReasonLine},

		// Request line.
		{name: "space first", send: " " + get(), reason: ReasonLine},
		{name: "two spaces", send: "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "two spaces before version", send: "GET /  HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "tab between", send: "GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "space last", send: "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "no version", send: "GET /\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "space in target", send: "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "HTTP/1.0", send: "GET / HTTP/1.0\r\nHost: h\r\n\r\n", reason: ReasonVersion},
		{name: "HTTP/1.2", send: "GET / HTTP/1.2\r\nHost: h\r\n\r\n", reason: ReasonVersion},
		{name: "HTTP/2.0", send: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", reason: ReasonVersion},
		{name: "HTTP/01.1", send: "GET / HTTP/01.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "http/1.1", send: "GET / http/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "HTTP/1,1", send: "GET / HTTP/1,1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "RTSP", send: "GET / RTSP/1.0\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "lower-case method", send: "get / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonMethod},
		{name: "CONNECT", send: "CONNECT home.example:443 HTTP/1.1\r\nHost: home.example:443\r\n\r\n", reason: ReasonMethod},
		{name: "TRACE", send: "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonMethod},
		{name: "PROPFIND", send: "PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonMethod},
		{name: "unknown method", send: "GETX / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonMethod},
		{name: "malformed method", send: "GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "method with NUL", send: "GET\x00 / HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "no method", send: "/ HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLine},
		{name: "TLS on a plain port", send: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\n", reason: ReasonLineEnd},

		// Target.
		{name: "absolute form", send: "GET http://home.example/ HTTP/1.1\r\nHost: home.example\r\n\r\n", reason: ReasonTarget},
		{name: "absolute form, other host", send: "GET http://other.example/ HTTP/1.1\r\nHost: home.example\r\n\r\n", reason: ReasonTarget},
		{name: "authority form", send: "GET home.example:80 HTTP/1.1\r\nHost: home.example\r\n\r\n", reason: ReasonTarget},
		{name: "asterisk form", send: "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "no slash", send: "GET a HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "query only", send: "GET ?a HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "two slashes", send: "GET //other.example/ HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "backslash", send: "GET /\\other HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "fragment", send: "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "fragment in query", send: "GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "bad escape", send: "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "short escape", send: "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "raw UTF-8", send: "GET /ä HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "raw UTF-8 in query", send: "GET /?ä HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "NUL in target", send: "GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "DEL in target", send: "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "tab in target", send: "GET /\ta HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "vertical tab in target", send: "GET /\x0ba HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},
		{name: "quote in query", send: "GET /?a=\"b\" HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonTarget},

		// Header lines.
		{name: "folded", send: get("X-A: b\r\n", " c\r\n"), reason: ReasonFold},
		{name: "folded by tab", send: get("X-A: b\r\n", "\tc\r\n"), reason: ReasonFold},
		{name: "folded first", send: "GET / HTTP/1.1\r\n Host: h\r\n\r\n", reason: ReasonFold},
		{name: "folded encoding", send: post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "line of a space", send: get(" \r\n"), reason: ReasonFold},
		{name: "space before colon", send: get("X-A : b\r\n"), reason: ReasonHeaderName},
		{name: "tab before colon", send: get("X-A\t: b\r\n"), reason: ReasonHeaderName},
		{name: "space in name", send: get("X A: b\r\n"), reason: ReasonHeaderName},
		{name: "no colon", send: get("X-A\r\n"), reason: ReasonHeaderName},
		{name: "no name", send: get(": b\r\n"), reason: ReasonHeaderName},
		{name: "quote in name", send: get("X\"A: b\r\n"), reason: ReasonHeaderName},
		{name: "NUL in name", send: get("X\x00A: b\r\n"), reason: ReasonHeaderName},
		{name: "UTF-8 in name", send: get("Xä: b\r\n"), reason: ReasonHeaderName},
		{name: "NUL in value", send: get("X-A: b\x00c\r\n"), reason: ReasonHeaderValue},
		{name: "DEL in value", send: get("X-A: b\x7f\r\n"), reason: ReasonHeaderValue},
		{name: "BEL in value", send: get("X-A: b\x07\r\n"), reason: ReasonHeaderValue},
		{name: "vertical tab at the end", send: get("X-A: b\x0b\r\n"), reason: ReasonHeaderValue},
		{name: "form feed before value", send: get("X-A:\x0cb\r\n"), reason: ReasonHeaderValue},
		{name: "Latin-1 value", send: get("X-A: K\xfcche\r\n"), reason: ReasonHeaderValue},
		{name: "overlong UTF-8", send: get("X-A: \xc0\xaf\r\n"), reason: ReasonHeaderValue},
		{name: "line too long", send: get("X-Long: " + strings.Repeat("a", 24570-7) + "\r\n"), reason: ReasonLongLine},
		{name: "target too long", send: "GET /" + strings.Repeat("a", 24570) + " HTTP/1.1\r\nHost: h\r\n\r\n", reason: ReasonLongLine},
		{name: "endless line", send: "GET /" + strings.Repeat("a", 30000), reason: ReasonLongLine},
		{name: "head too long", send: get("A: " + strings.Repeat("a", 20000) + "\r\nB: " + strings.Repeat("b", 13000) + "\r\n"), reason: ReasonLongHead},
		{name: "too many headers", send: get(strings.Repeat("A: b\r\n", 100)), reason: ReasonManyHeaders},

		// Host.
		{name: "no host", send: "GET / HTTP/1.1\r\nA: b\r\n\r\n", reason: ReasonHost},
		{name: "no headers", send: "GET / HTTP/1.1\r\n\r\n", reason: ReasonHost},
		{name: "two hosts", send: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", reason: ReasonHost},
		{name: "same host twice", send: "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", reason: ReasonHost},
		{name: "empty host", send: "GET / HTTP/1.1\r\nHost:\r\n\r\n", reason: ReasonHost},
		{name: "host list", send: "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", reason: ReasonHost},
		{name: "host with path", send: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", reason: ReasonHost},
		{name: "host with user", send: "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", reason: ReasonHost},
		{name: "host with scheme", send: "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", reason: ReasonHost},
		{name: "host with escape", send: "GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", reason: ReasonHost},
		{name: "host with two ports", send: "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", reason: ReasonHost},
		{name: "host with empty port", send: "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", reason: ReasonHost},
		{name: "host with port 0", send: "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", reason: ReasonHost},
		{name: "host with port 65536", send: "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", reason: ReasonHost},
		{name: "host with port 080", send: "GET / HTTP/1.1\r\nHost: a:080\r\n\r\n", reason: ReasonHost},
		{name: "host with signed port", send: "GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", reason: ReasonHost},
		{name: "host with zone", send: "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", reason: ReasonHost},
		{name: "host with open bracket", send: "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", reason: ReasonHost},
		{name: "host of brackets around IPv4", send: "GET / HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n", reason: ReasonHost},
		{name: "host with rest behind bracket", send: "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", reason: ReasonHost},
		{name: "host with space", send: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", reason: ReasonHost},
		{name: "Host with underscore", send: "GET / HTTP/1.1\r\nHost: a\r\nH_ost: x\r\n\r\n", answered: 1},

		// Length and coding.
		{name: "two lengths", send: post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), reason: ReasonLength},
		{name: "same length twice", send: post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), reason: ReasonLength},
		{name: "length list", send: post("Content-Length: 3, 3\r\n", "abc"), reason: ReasonLength},
		{name: "empty length", send: post("Content-Length:\r\n", ""), reason: ReasonLength},
		{name: "signed length", send: post("Content-Length: +3\r\n", "abc"), reason: ReasonLength},
		{name: "negative length", send: post("Content-Length: -3\r\n", "abc"), reason: ReasonLength},
		{name: "hex length", send: post("Content-Length: 0x3\r\n", "abc"), reason: ReasonLength},
		{name: "octal length", send: post("Content-Length: 010\r\n", "abcdefghij"), reason: ReasonLength},
		{name: "fractional length", send: post("Content-Length: 3.0\r\n", "abc"), reason: ReasonLength},
		{name: "grouped length", send: post("Content-Length: 1_0\r\n", "abcdefghij"), reason: ReasonLength},
		{name: "length with space", send: post("Content-Length: 1 0\r\n", "abcdefghij"), reason: ReasonLength},
		{name: "length with tab behind", send: post("Content-Length: 3\t\r\n", "abc"), reason: ReasonHeaderValue},
		{name: "length with two spaces", send: post("Content-Length:  3\r\n", "abc"), reason: ReasonHeaderValue},
		{name: "length after tab", send: post("Content-Length:\t3\r\n", "abc"), reason: ReasonHeaderValue},
		{name: "length with space behind", send: post("Content-Length:3 \r\n", "abc"), reason: ReasonHeaderValue},
		{name: "length without space", send: post("Content-Length:3\r\n", "abc"), answered: 1},
		{name: "huge length", send: post("Content-Length: 18446744073709551616\r\n", ""), reason: ReasonLength},
		{name: "fullwidth length", send: post("Content-Length: ３\r\n", "abc"), reason: ReasonLength},
		{name: "length and chunked", send: post("Content-Length: 3\r\n"+chunkedLine, "0\r\n\r\n"), reason: ReasonFraming},
		{name: "chunked and length", send: post(chunkedLine+"Content-Length: 3\r\n", "0\r\n\r\n"), reason: ReasonFraming},
		{name: "length 0 and chunked", send: post("Content-Length: 0\r\n"+chunkedLine, "0\r\n\r\n"), reason: ReasonFraming},
		{name: "chunked twice", send: post(chunkedLine+chunkedLine, "0\r\n\r\n"), reason: ReasonCoding},
		{name: "chunked, chunked", send: post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "gzip, chunked", send: post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "identity", send: post("Transfer-Encoding: identity\r\n", ""), reason: ReasonCoding},
		{name: "Chunked", send: post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "xchunked", send: post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "chunked with parameter", send: post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "chunked in quotes", send: post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), reason: ReasonCoding},
		{name: "chunked with vertical tab", send: post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), reason: ReasonHeaderValue},
		{name: "empty encoding", send: post("Transfer-Encoding:\r\n", ""), reason: ReasonCoding},
		{name: "encoding with space before colon", send: post("Transfer-Encoding : chunked\r\nContent-Length: 3\r\n", "abc"), reason: ReasonHeaderName},
		{name: "GET with body", send: get("Content-Length: 3\r\n") + "abc", reason: ReasonBody},
		{name: "GET chunked", send: get(chunkedLine) + "0\r\n\r\n", reason: ReasonBody},
		{name: "HEAD with body", send: "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", reason: ReasonBody},
		{name: "body cut short", send: post("Content-Length: 30\r\n", "abc"), answered: 1, reason: ReasonTruncated},

		// Chunks.
		{name: "chunk extension", send: post(chunkedLine, "3;a=b\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk extension at the end", send: post(chunkedLine, "3\r\nabc\r\n0;a\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk extension with LF", send: post(chunkedLine, "3;a\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size with LF", send: post(chunkedLine, "3\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size with CR", send: post(chunkedLine, "3\rabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size with space", send: post(chunkedLine, "3 \r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size after space", send: post(chunkedLine, " 3\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size with sign", send: post(chunkedLine, "+3\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size negative", send: post(chunkedLine, "-3\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size 0x3", send: post(chunkedLine, "0x3\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size 1_0", send: post(chunkedLine, "1_0\r\nabcdefghijklmnop\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size empty", send: post(chunkedLine, "\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size too big", send: post(chunkedLine, "100000003\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk size overflow", send: post(chunkedLine, "10000000000000003\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk too short", send: post(chunkedLine, "5\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk too long", send: post(chunkedLine, "2\r\nabc\r\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk data ends with LF", send: post(chunkedLine, "3\r\nabc\n0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "chunk data ends with two bytes", send: post(chunkedLine, "3\r\nabcXX0\r\n\r\n"), answered: 1, reason: ReasonChunk},
		{name: "no last chunk", send: post(chunkedLine, "3\r\nabc\r\n"), answered: 1, reason: ReasonTruncated},
		{name: "last chunk with LF", send: post(chunkedLine, "0\n\n"), answered: 1, reason: ReasonChunk},
		{name: "last line is LF", send: post(chunkedLine, "0\r\n\n"), answered: 1, reason: ReasonTrailer},
		{name: "last line is CR", send: post(chunkedLine, "0\r\n\r") + get(), answered: 1, reason: ReasonTrailer},
		{name: "trailer", send: post(chunkedLine, "0\r\nX-T: 1\r\n\r\n"), answered: 1, reason: ReasonTrailer},
		{name: "trailer that smuggles", send: post(chunkedLine, "0\r\nContent-Length: 5\r\n\r\nabcde"), answered: 1, reason: ReasonTrailer},
		{name: "announced trailer", send: post(chunkedLine+"Trailer: X-T\r\n", "0\r\nX-T: 1\r\n\r\n"), reason: ReasonTrailer},

		// Hop by hop.
		{name: "option Cookie", send: get("Connection: close, Cookie\r\n"), reason: ReasonConnection},
		{name: "option X-Forwarded-For", send: get("Connection: X-Forwarded-For\r\n"), reason: ReasonConnection},
		{name: "option Content-Length", send: post("Connection: Content-Length\r\nContent-Length: 3\r\n", "abc"), reason: ReasonConnection},
		{name: "empty option", send: get("Connection:\r\n"), reason: ReasonConnection},
		{name: "empty option in list", send: get("Connection: close,,keep-alive\r\n"), reason: ReasonConnection},
		{name: "h2c", send: get("Connection: Upgrade, HTTP2-Settings\r\n", "Upgrade: h2c\r\n", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"), reason: ReasonConnection},
		{name: "h2c hidden", send: get("Connection: Upgrade\r\n", "Upgrade: h2c\r\n"), reason: ReasonUpgrade},
		{name: "upgrade list", send: get("Connection: Upgrade\r\n", "Upgrade: websocket, h2c\r\n"), reason: ReasonUpgrade},
		{name: "upgrade twice", send: get("Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Upgrade: websocket\r\n"), reason: ReasonUpgrade},
		{name: "upgrade without option", send: get("Upgrade: websocket\r\n"), reason: ReasonUpgrade},
		{name: "upgrade by POST", send: post("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""), reason: ReasonUpgrade},
		{name: "upgrade with body", send: post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", "abc"), reason: ReasonUpgrade},
		{name: "expect something", send: post("Content-Length: 3\r\nExpect: something\r\n", "abc"), reason: ReasonExpect},
		{name: "expect twice", send: post("Content-Length: 3\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n", "abc"), reason: ReasonExpect},
		{name: "expect list", send: post("Content-Length: 3\r\nExpect: 100-continue, x\r\n", "abc"), reason: ReasonExpect},
		{name: "expect without body", send: get("Expect: 100-continue\r\n"), reason: ReasonExpect},
		{name: "expect with obfuscation", send: post("Content-Length: 3\r\nExpect: y 100-continue\r\n", "abc"), reason: ReasonExpect},

		// One behind the other.
		{name: "good, then bad", send: get() + "GET / HTTP/1.1\nHost: h\n\n" + get(), answered: 1, reason: ReasonLineEnd},
		{name: "length too short", send: post("Content-Length: 2\r\n", "abc") + get(), answered: 1, reason: ReasonMethod},
		{name: "ends in the request line", send: "GET / HT", reason: ReasonTruncated},
		{name: "ends in the headers", send: "GET / HTTP/1.1\r\nHost: h\r\nX-A", reason: ReasonTruncated},
	}
	for _, name := range []string{"Content_Length", "Transfer_Encoding", "content_length", "Transfer-encodinG_", "X_Forwarded_For",
		"X-Forwarded_For", "X_Real_IP", "Authorization_", "_Host", "Proxy_Connection", "Sec_WebSocket_Key", "CF_Connecting_IP"} {
		s := shape{name: "name " + name, send: post(name+": 3\r\n", ""), reason: ReasonUnderscore}
		if strings.HasPrefix(name, "_") || strings.HasSuffix(name, "_") {
			s.answered, s.reason = 1, "" // looks like nothing else; dropped
		}
		shapes = append(shapes, s)
	}
	for _, name := range []string{"Authorization", "Content-Type", "Origin", "Range", "Referer", "User-Agent", "Sec-WebSocket-Key"} {
		shapes = append(shapes, shape{name: "two " + name, send: get(name+": a\r\n", strings.ToLower(name)+": b\r\n"), reason: ReasonRepeated})
	}
	return shapes
}
