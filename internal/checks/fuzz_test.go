package checks

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/audit"
)

// Whatever stands in one of the files of a home, the check of that home neither crashes nor
// runs away: so every reader is tried that a check has, its own and those of facts.
func FuzzChecks(f *testing.F) {
	type seat struct {
		check               audit.Check
		before, after, text string
	}
	var seats []seat
	headline := regexp.MustCompile(`(?m)^-- \S+ .*--$`)
	names := map[string]bool{}
	for _, c := range All() {
		all, err := os.ReadFile(filepath.Join("testdata", c.ID+".txt"))
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split("\n"+string(all), "\n== ")[1:] {
			places := headline.FindAllStringIndex(part, -1)
			for n, at := range places {
				from, to := min(len(part), at[1]+1), len(part)
				if n+1 < len(places) {
					to = places[n+1][0]
				}
				s := seat{c, part[:from], part[to:], part[from:max(from, to)]}
				if strings.TrimSpace(s.text) == "" || strings.Contains(part[at[0]:at[1]], ".json ") {
					continue
				}
				seats = append(seats, s)
				if name := strings.Fields(part[at[0]:at[1]])[1]; !names[name] { // the homes themselves are tried elsewhere
					names[name] = true
					f.Add(uint16(len(seats)-1), s.text)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, text string) {
		if len(text) > 1<<16 || strings.Contains(text, "-- ") {
			return // would be a headline of the drawing
		}
		s := seats[int(n)%len(seats)]
		h, err := readHome(s.before + text + "\n" + s.after)
		if err != nil {
			return
		}
		began := time.Now()
		if found := audit.Run(h.host, []audit.Check{s.check}, nil)[0]; strings.Contains(found.Why, "the check itself") {
			t.Errorf("%s: %s", s.check.ID, found.Why)
		}
		const long = 5 * time.Second // for 64 KiB
		if took := time.Since(began); took > long {
			t.Errorf("%s takes %s", s.check.ID, took)
		}
	})
}
