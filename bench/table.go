package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// row is one target's medians.
type row struct {
	name string
	sample
}

// memory is one target's resident memory in bytes.
type memory struct {
	name  string
	bytes int64
}

// result is everything that one run measured.
type result struct {
	plan                        plan
	conditions                  string
	gate                        *gate
	http1, http2, socket, flood []row
	hook, refresh               []row
	calm, paced, absorbed       []row // of a known device without and under a siege; of a siege that is not paced
	idle, after                 []memory
	filter                      filtered
}

// reference is the target that the others are compared with.
const reference = "nginx"

// table is the result as Markdown.
func (r *result) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.conditions)
	fmt.Fprintf(&b, "Each target %d times in turns, medians; CPU is that of the proxy's own processes. ×: compared with %s.\n\n", r.plan.rounds, reference)

	fmt.Fprintf(&b, "HTTP/1.1, %d kept-alive connections, %d s a round, a 1 kB answer, session cookie and token along:\n\n", r.plan.connections, int(r.plan.each.Seconds()))
	requests(&b, r.http1)
	fmt.Fprintf(&b, "HTTP/2, 4 connections with 8 requests under way on each, %d requests a round:\n\n", r.plan.h2Requests)
	requests(&b, r.http2)

	fmt.Fprintf(&b, "A companion app's webhook, without a cookie: HTTP/1.1, %d kept-alive connections, %d calls a round of %d apps in turns, %d bytes told:\n\n",
		r.plan.connections, r.plan.hooks, appCount, len(sensorBody()))
	requests(&b, r.hook)
	fmt.Fprintf(&b, "A companion app's token refresh, without a cookie: HTTP/1.1, %d kept-alive connections, %d a round; Gatehouse has each token on the disk before it answers:\n\n",
		refreshConnections, r.plan.refreshes)
	requests(&b, r.refresh)

	fmt.Fprintf(&b, "WebSocket, one message and its answer at a time, %d a round (added: compared with direct), and 8 sockets with 8 under way on each:\n\n", r.plan.pings)
	b.WriteString("| target | p50 | p99 | added at p99 | answers/s | × | CPU µs an answer |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	base := find(r.flood, reference)
	for i, s := range r.socket {
		f := r.flood[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.0f | %.2f | %s |\n", s.name, us(s.p50), us(s.p99), us(s.p99-r.socket[0].p99),
			f.perSecond, f.perSecond/base.perSecond, cpuText(f.sample))
	}
	fmt.Fprintf(&b, "\nA known device, %d requests a round with a little rest between them, before and while %d wrong logins a second come from %d addresses, each on a connection of its own; and how many of them a second are taken where as many come as can:\n\n",
		r.plan.visits, siegePace, siegeAddresses)
	b.WriteString("| target | p50 | p99 | p50 under it | p99 under it | × at p99 | attempts/s | CPU µs an attempt |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for i, s := range r.calm {
		u, a := r.paced[i], r.absorbed[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.2f | %.0f | %s |\n", s.name, us(s.p50), us(s.p99), us(u.p50), us(u.p99), float64(u.p99)/float64(s.p99), a.perSecond, cpuText(a.sample))
	}
	b.WriteString("\n| memory (RSS, MB) |")
	for _, m := range r.idle {
		fmt.Fprintf(&b, " %s |", m.name)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(r.idle)) + "\n| idle |")
	for _, m := range r.idle {
		fmt.Fprintf(&b, " %.1f |", float64(m.bytes)/1e6)
	}
	b.WriteString("\n| after the load |")
	for _, m := range r.after {
		fmt.Fprintf(&b, " %.1f |", float64(m.bytes)/1e6)
	}
	fmt.Fprintf(&b, "\n\nGatehouse, from its start to its first answer over TLS: %d ms (median of %d); the very first start, which makes the local authority: %d ms.\n",
		r.gate.start.Milliseconds(), r.plan.starts, r.gate.firstStart.Milliseconds())
	b.WriteString("\n" + r.filter.line())
	return b.String()
}

func requests(b *strings.Builder, rows []row) {
	b.WriteString("| target | requests/s | × | p50 | p99 | CPU µs a request | × |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	base := find(rows, reference)
	for _, r := range rows {
		ratio := "–"
		if r.cpu > 0 && base.cpu > 0 {
			ratio = fmt.Sprintf("%.2f", float64(r.cpu)/float64(base.cpu))
		}
		fmt.Fprintf(b, "| %s | %.0f | %.2f | %s | %s | %s | %s |\n", r.name, r.perSecond, r.perSecond/base.perSecond, us(r.p50), us(r.p99), cpuText(r.sample), ratio)
	}
	b.WriteString("\n")
}

func find(rows []row, name string) row {
	for _, r := range rows {
		if r.name == name {
			return r
		}
	}
	return row{}
}

func cpuText(s sample) string {
	if s.cpu == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(s.cpu)/float64(time.Microsecond))
}

func us(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%d µs", d.Microseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// conditions says on what the figures were taken.
func conditions(binary string) string {
	haproxy, _, _ := strings.Cut(strings.TrimPrefix(programVersion("haproxy", "-v"), "HAProxy version "), "-")
	return fmt.Sprintf("%s, which load, proxies and home share; %s, HAProxy %s, Caddy %s; Gatehouse %s.",
		machine(), programVersion("nginx", "-v"), haproxy, programVersion("caddy", "version"), programVersion(binary, "--version"))
}

// programVersion is the first line that a program says of itself.
func programVersion(name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "nginx version: "))
}

// machine says when and where something was measured.
func machine() string {
	cpu := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := bytes.Cut(info, []byte("model name\t: ")); ok {
			line, _, _ := bytes.Cut(rest, []byte("\n"))
			cpu = string(line)
		}
	}
	return fmt.Sprintf("Measured %s: Linux %s, %s, %d cores of %s", time.Now().Format("2006-01-02"), programVersion("uname", "-r"), runtime.Version(), runtime.NumCPU(), cpu)
}

// The tables in a document stand between these lines.
const (
	tableBegin = "<!-- make bench writes from here -->\n"
	sshBegin   = "<!-- make bench writes of SSH from here -->\n"
	vpnBegin   = "<!-- make bench writes of WireGuard from here -->\n"
	auditBegin = "<!-- make bench writes of the audit from here -->\n"
	tableEnd   = "<!-- to here -->\n"
)

// replaceTable puts text between the markers of a file.
func replaceTable(file, begin, text string) error {
	doc, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok1 := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the table: the lines %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(tableEnd))
	}
	return os.WriteFile(file, []byte(head+begin+"\n"+text+"\n"+tableEnd+tail), 0o644)
}
