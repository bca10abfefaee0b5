package report

import (
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/finding"
)

// The parts of SARIF 2.1.0 that are used (OASIS, sarif-v2.1.0).
type sarifLog struct {
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool               `json:"tool"`
	Invocations []sarifInvocation       `json:"invocations"`
	Bases       map[string]sarifAddress `json:"originalUriBaseIds"`
	ColumnKind  string                  `json:"columnKind"`
	Results     []sarifResult           `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID         string         `json:"id"`
	Short      sarifText      `json:"shortDescription"`
	Full       *sarifText     `json:"fullDescription,omitempty"`
	Help       *sarifText     `json:"help,omitempty"`
	Default    sarifLevel     `json:"defaultConfiguration"`
	Properties sarifRuleExtra `json:"properties"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifRuleExtra struct {
	Severity string   `json:"security-severity"` // a number, for those who sort by it
	Tags     []string `json:"tags"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful bool   `json:"executionSuccessful"`
	End        string `json:"endTimeUtc"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Kind         string             `json:"kind"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations,omitempty"`
	Related      []sarifLocation    `json:"relatedLocations,omitempty"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	Properties   sarifResultExtra   `json:"properties"`
}

type sarifResultExtra struct {
	Severity  finding.Severity `json:"severity"`
	Effective any              `json:"effective"`
	Explicit  *bool            `json:"explicit"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification,omitempty"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	Message  *sarifText     `json:"message,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifAddress `json:"artifactLocation"`
	Region   *sarifRegion `json:"region,omitempty"`
}

type sarifAddress struct {
	URI  string `json:"uri"`
	Base string `json:"uriBaseId,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name string `json:"name"`
}

// sarifBase is what locations are relative to: the root that was read.
const sarifBase = "ROOT"

func (r *Report) writeSARIF(w io.Writer) error {
	root := url.URL{Scheme: "file", Path: strings.TrimSuffix(strings.ToValidUTF8(r.Root, "\uFFFD"), "/") + "/"}
	if !strings.HasPrefix(root.Path, "/") {
		root.Path = "/" + root.Path
	}
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "Gatehouse", Version: r.Version, Rules: []sarifRule{}}}, ColumnKind: "unicodeCodePoints",
		Invocations: []sarifInvocation{{true, r.At.UTC().Format(time.RFC3339)}}, Bases: map[string]sarifAddress{sarifBase: {URI: root.String()}}, Results: []sarifResult{}}
	for n, f := range r.Checks {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(f))
		run.Results = append(run.Results, r.sarifResult(n, f))
	}
	return writeDocument(w, sarifLog{"2.1.0", []sarifRun{run}})
}

func sarifRuleOf(f finding.Finding) sarifRule {
	rule := sarifRule{ID: f.ID, Short: sarifText{plain(f.Title)}, Default: sarifLevel{sarifLevelOf(f.Severity)}}
	if f.Why != "" && f.Result != finding.Unknown && f.Result != finding.NotApplicable { // of those it says something else
		rule.Full = &sarifText{f.Why}
	}
	if f.Fix != "" {
		rule.Help = &sarifText{f.Fix}
	}
	score := [...]string{"9.5", "8.0", "5.5", "2.5", "0.1", "0.1"}
	rule.Properties = sarifRuleExtra{score[rank(f.Severity)], []string{"security"}}
	for _, tag := range append([]string{f.Topic}, f.Reference...) {
		if !slices.Contains(rule.Properties.Tags, tag) { // they have to be different
			rule.Properties.Tags = append(rule.Properties.Tags, tag)
		}
	}
	return rule
}

func sarifLevelOf(s finding.Severity) string {
	switch s {
	case finding.Crit, finding.High:
		return "error"
	case finding.Med:
		return "warning"
	}
	return "note"
}

func (r *Report) sarifResult(n int, f finding.Finding) sarifResult {
	res := sarifResult{RuleID: f.ID, RuleIndex: n, Kind: "fail", Level: "none", Fingerprints: map[string]string{"gatehouse/v1": f.ID},
		Properties: sarifResultExtra{f.Severity, tame(f.Effective), f.Explicit}}
	text := "Not so: " + plain(f.Title) + "."
	switch f.Result {
	case finding.Pass:
		res.Kind, text = "pass", plain(f.Title)+"."
	case finding.Fail:
		res.Level = sarifLevelOf(f.Severity)
	case finding.Waived:
		res.Level = sarifLevelOf(f.Severity)
		res.Suppressions = []sarifSuppression{{"external", "accepted", r.waiver(f.ID).Reason}}
	case finding.NotApplicable:
		res.Kind, text = "notApplicable", "Does not apply: "+f.Why
	default:
		res.Kind, text = "open", "Could not be judged: "+f.Why
	}
	if v := value(f); v != "" && res.Kind == "fail" {
		text += " In force: " + v
	}
	if f.Fix != "" {
		text += " " + f.Fix
	}
	res.Message.Text = text
	for k, e := range f.Evidence {
		if slices.Contains(f.Evidence[:k], e) {
			continue
		}
		l := sarifLocation{}
		if strings.HasPrefix(e.File, "/") {
			name := url.URL{Path: strings.TrimLeft(strings.ToValidUTF8(e.File, "\uFFFD"), "/")}
			l.Physical = &sarifPhysical{Artifact: sarifAddress{name.EscapedPath(), sarifBase}}
			if e.Line > 0 {
				l.Physical.Region = &sarifRegion{e.Line}
			}
		} else {
			l.Logical = []sarifLogical{{e.File}}
		}
		if e.Value != "" {
			l.Message = &sarifText{e.Value}
		}
		if k == 0 {
			res.Locations = []sarifLocation{l}
		} else {
			res.Related = append(res.Related, l)
		}
	}
	return res
}
