package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// chromium is Debian's, and the arguments with which it is spoken to and shows itself to nobody.
func chromium(profile string, more ...string) []string {
	program := os.Getenv("CHROMIUM")
	if program == "" {
		program = "/usr/bin/chromium"
	}
	return append([]string{program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--user-data-dir=" + profile}, more...)
}

// becomes opens an address in the Chromium that c starts, and returns the page once it is what is
// waited for, or as it is when time is up. It is asked over the browser's own pipe
// (https://chromedevtools.github.io/devtools-protocol/): the virtual time of --dump-dom runs ahead
// of a slow machine and a slow network.
func becomes(t *testing.T, c *exec.Cmd, url string, within time.Duration, isWaitedFor func(page string) bool) string {
	t.Helper()
	end := time.Now().Add(within)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s does not answer (apt-get install chromium libnss3-tools): %v", c, err)
		}
	}
	ours := make([]*os.File, 2)
	for i := range ours { // its descriptor 3 is asked, 4 answers
		r, w, err := os.Pipe()
		must(err)
		ours[i] = []*os.File{w, r}[i]
		theirs := []*os.File{r, w}[i]
		c.ExtraFiles = append(c.ExtraFiles, theirs)
		defer theirs.Close()
		defer ours[i].Close()
		must(ours[i].SetDeadline(end.Add(time.Second)))
	}
	c.WaitDelay = time.Second
	must(c.Start())
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	for _, theirs := range c.ExtraFiles {
		_ = theirs.Close()
	}

	type command struct {
		ID      int            `json:"id"`
		Session string         `json:"sessionId,omitempty"`
		Method  string         `json:"method"`
		Params  map[string]any `json:"params"`
	}
	type answer struct {
		ID     int `json:"id"`
		Result struct {
			Target  string `json:"targetId"`
			Session string `json:"sessionId"`
			Result  struct {
				Value any `json:"value"`
			} `json:"result"`
		} `json:"result"`
	}
	asked, session, answers := 0, "", bufio.NewReader(ours[1])
	ask := func(method string, params map[string]any) (a answer) {
		t.Helper()
		asked++
		line, err := json.Marshal(command{asked, session, method, params})
		must(err)
		_, err = ours[0].Write(append(line, 0))
		must(err)
		for { // events come between the answers
			line, err := answers.ReadBytes(0)
			must(err)
			a = answer{}
			must(json.Unmarshal(line[:len(line)-1], &a))
			if a.ID == asked {
				return a
			}
		}
	}
	target := ask("Target.createTarget", map[string]any{"url": url}).Result.Target
	session = ask("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true}).Result.Session
	for page := ""; ; time.Sleep(100 * time.Millisecond) {
		// A page that is being left has no answer.
		if now, ok := ask("Runtime.evaluate", map[string]any{"expression": "document.documentElement.outerHTML", "returnByValue": true}).Result.Result.Value.(string); ok {
			page = now
		}
		if strings.Contains(page, "ERR_NETWORK_CHANGED") { // as a person does
			ask("Page.reload", nil)
		}
		if isWaitedFor(page) || time.Now().After(end) {
			return page
		}
	}
}
