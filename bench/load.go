package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is one round of load on one target.
type sample struct {
	requests  int
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the target, an answer
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkQuantile = regexp.MustCompile(`(50|99)%\s+([\d.]+)(us|ms|s)`)
	wrkBad      = regexp.MustCompile(`Non-2xx|Socket errors.*`)
)

// wrk loads url over HTTP/1.1 with kept-alive connections. An answer that is not
// a good one is an error: a fast refusal must not pass for a fast answer.
func wrk(url string, header []string, connections int, d time.Duration) (sample, error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", int(d.Seconds())), "--latency"}
	for _, h := range header {
		args = append(args, "-H", h)
	}
	out, err := exec.Command("wrk", append(args, url)...).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	text := string(out)
	if bad := wrkBad.FindString(text); bad != "" {
		return sample{}, fmt.Errorf("wrk: %s", bad)
	}
	n, r := wrkRequests.FindStringSubmatch(text), wrkRate.FindStringSubmatch(text)
	if n == nil || r == nil {
		return sample{}, fmt.Errorf("wrk said: %s", text)
	}
	var s sample
	s.requests, _ = strconv.Atoi(n[1])
	s.perSecond, _ = strconv.ParseFloat(r[1], 64)
	for _, q := range wrkQuantile.FindAllStringSubmatch(text, -1) {
		took, err := time.ParseDuration(strings.Replace(q[2]+q[3], "us", "µs", 1))
		if err != nil {
			return sample{}, fmt.Errorf("wrk: %w", err)
		}
		if q[1] == "50" {
			s.p50 = took
		} else {
			s.p99 = took
		}
	}
	return s, nil
}

var (
	h2Done = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded`)
	h2Rate = regexp.MustCompile(`finished in [\d.]+m?s, ([\d.]+) req/s`)
)

// h2load loads url over HTTP/2: n requests, streams at a time on each connection.
func h2load(dir, url string, header []string, connections, streams, n int) (sample, error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-m%d", streams)}
	for _, h := range header {
		args = append(args, "-H", h)
	}
	return runH2load(dir, n, "Application protocol: h2", append(args, url))
}

// post loads urls over HTTP/1.1 with n requests that carry a body. Each connection goes
// through the urls in turns.
func post(dir string, urls, header []string, body string, connections, n int) (sample, error) {
	targets, data := filepath.Join(dir, "post.urls"), filepath.Join(dir, "post.body")
	if err := errors.Join(os.WriteFile(targets, []byte(strings.Join(urls, "\n")+"\n"), 0o600), os.WriteFile(data, []byte(body), 0o600)); err != nil {
		return sample{}, err
	}
	args := []string{"-t1", "--h1", fmt.Sprintf("-c%d", connections), "-m1", "-i", targets, "-d", data}
	for _, h := range header {
		args = append(args, "-H", h)
	}
	return runH2load(dir, n, "", args)
}

// runH2load runs h2load for n requests; proof is what it must say beside.
func runH2load(dir string, n int, proof string, args []string) (sample, error) {
	log := filepath.Join(dir, "h2load.log")
	if err := os.RemoveAll(log); err != nil {
		return sample{}, err
	}
	out, err := exec.Command("h2load", append([]string{fmt.Sprintf("-n%d", n), "--log-file=" + log}, args...)...).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("h2load: %w: %s", err, out)
	}
	text := string(out)
	done, rate := h2Done.FindStringSubmatch(text), h2Rate.FindStringSubmatch(text)
	switch {
	case done == nil || rate == nil:
		return sample{}, fmt.Errorf("h2load said: %s", text)
	case done[1] != strconv.Itoa(n) || !strings.Contains(text, fmt.Sprintf("status codes: %d 2xx", n)):
		return sample{}, fmt.Errorf("h2load: not every answer was a good one: %s", text)
	case !strings.Contains(text, proof):
		return sample{}, fmt.Errorf("h2load: not %q: %s", proof, text)
	}
	s := sample{requests: n}
	s.perSecond, _ = strconv.ParseFloat(rate[1], 64)
	took, err := h2Times(log)
	if err != nil {
		return sample{}, err
	}
	s.p50, s.p99 = quantile(took, 0.50), quantile(took, 0.99)
	return s, nil
}

// h2Times reads h2load's log: start in µs, status, duration in µs, one line a request.
func h2Times(file string) ([]time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var took []time.Duration
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return nil, fmt.Errorf("h2load log: %q", lines.Text())
		}
		us, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("h2load log: %w", err)
		}
		took = append(took, time.Duration(us)*time.Microsecond)
	}
	return took, nil
}

// quantile is the smallest value that a share q of all values does not exceed; it sorts them.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
}

// median of the samples, each figure by itself.
func median(all []sample) sample {
	middle := func(figure func(sample) float64) float64 {
		v := make([]float64, len(all))
		for i, s := range all {
			v[i] = figure(s)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	d := func(figure func(sample) time.Duration) time.Duration {
		return time.Duration(middle(func(s sample) float64 { return float64(figure(s)) }))
	}
	return sample{
		requests:  int(middle(func(s sample) float64 { return float64(s.requests) })),
		perSecond: middle(func(s sample) float64 { return s.perSecond }),
		p50:       d(func(s sample) time.Duration { return s.p50 }),
		p99:       d(func(s sample) time.Duration { return s.p99 }),
		cpu:       d(func(s sample) time.Duration { return s.cpu }),
	}
}
