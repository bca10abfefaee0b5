package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"gatehouse/internal/ha/client"
)

// What fixes have Home Assistant do, by its API: look at its configuration, restart, and
// change the settings of its web server. A fix runs as root; the token for the API is the
// service's, so this is a verb of its own, which acts as the service's user.

// homeVerb is that verb.
const homeVerb = "ask-home"

func (a *app) newHomeToolCommand() *cobra.Command {
	return &cobra.Command{
		Use:    homeVerb + " check|restart|http BEFORE AFTER",
		Short:  "Have Home Assistant check its configuration, restart, or change its web server's settings",
		Hidden: true,
		Args:   cobra.RangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), restartTime, fmt.Errorf("no sign of Home Assistant within %s", restartTime))
			defer cancel()
			c, err := a.where()
			if err != nil {
				return err
			}
			look := func(wish homeWish) (homeState, error) { return reach(ctx, a, c, "home", askHome, wish) }
			switch {
			case args[0] == "check" && len(args) == 1:
				_, err := look(homeWish{Do: "check"})
				return err
			case args[0] == "restart" && len(args) == 1:
				return restartHome(ctx, look)
			case args[0] == "http" && len(args) == 3:
				return changeHTTP(ctx, look, args[1], args[2])
			}
			return &problem{status: statusUsage, err: fmt.Errorf("%s is not understood", strings.Join(args, " "))}
		},
	}
}

// homeWish is what Home Assistant is asked to do.
type homeWish struct {
	Do            string `json:"do"` // check, restart, configure, promote, drop or look
	Before, After string `json:",omitzero"`
}

// homeState is how Home Assistant stands.
type homeState struct {
	Answers bool   `json:"answers"`
	Running bool   `json:"running"` // it has started for good
	Active  string `json:"active"`  // of its web server's settings: stable or pending; "" where it does not say
	Options string `json:"options"` // the stable ones
	Failure string `json:"failure"` // why pending ones were given up
}

// askHome asks Home Assistant for one thing. How it stands is no error.
func askHome(ctx context.Context, h *house, in homeWish) (s homeState, err error) {
	api, err := h.mover.answering(ctx)
	if err != nil {
		if in.Do == "look" {
			return homeState{}, nil
		}
		return s, cannotReach(err)
	}
	switch in.Do {
	case "check":
		wrong, err := api.CheckConfig(ctx)
		if err == nil && wrong != "" {
			err = &problem{status: statusNo, err: fmt.Errorf("not accepted by Home Assistant: %s", wrong)}
		}
		return s, err
	case "restart":
		return s, api.Restart(ctx)
	case "promote":
		return s, api.Promote(ctx)
	case "drop":
		_, err := api.Configure(ctx, nil)
		return s, err
	case "configure":
		return s, configureFrom(ctx, api, in.Before, in.After)
	case "look":
		return lookAtHome(ctx, api), nil
	}
	return s, &problem{status: statusUsage, err: fmt.Errorf("it cannot be asked of Home Assistant to %q", in.Do)}
}

// lookAtHome is how Home Assistant stands, as far as it says.
func lookAtHome(ctx context.Context, api *client.Client) (s homeState) {
	if _, err := api.Onboarded(ctx); err != nil {
		return s
	}
	s.Answers = true
	s.Running, _ = api.Running(ctx)
	now, err := api.HTTPConfig(ctx)
	if err != nil {
		return s // an older release, or one that is going down
	}
	s.Active, s.Failure = now.Active, now.Pending.Failure()
	s.Options, _ = optionsOf(now.Stable)
	return s
}

// optionsOf is a set of settings without Home Assistant's notes about it, so that two that
// say the same are the same.
func optionsOf(o client.Options) (string, error) {
	text, err := json.Marshal(o.Settings(), json.Deterministic(true))
	if err != nil {
		return "", err
	}
	v := jsontext.Value(text)
	err = v.Canonicalize()
	return string(v), err
}

// readOptions reads a set of settings.
func readOptions(text string) (o client.Options, says string, err error) {
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, "", &problem{status: statusUsage, err: fmt.Errorf("read the settings: %w", err)}
	}
	says, err = optionsOf(o)
	return o, says, err
}

// configureFrom makes settings pending if those before are the ones that hold.
func configureFrom(ctx context.Context, api *client.Client, before, after string) error {
	_, was, err := readOptions(before)
	if err != nil {
		return err
	}
	next, _, err := readOptions(after)
	if err != nil {
		return err
	}
	now, err := api.HTTPConfig(ctx)
	if err != nil {
		return fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	}
	if now.Active != "stable" {
		return &problem{status: statusNo, err: fmt.Errorf("the web server of Home Assistant runs on %s settings", now.Active), hint: "confirm or repair them in Home Assistant (Settings, System, Network)"}
	}
	if says, err := optionsOf(now.Stable); err != nil || says != was {
		return errors.Join(err, &problem{status: statusNo, err: errors.New("the settings of Home Assistant's web server have changed since they were looked at")})
	}
	restart, err := configure(ctx, api, next, func() {})
	if err == nil && !restart {
		err = errors.New("the new settings of its web server were not taken up by Home Assistant")
	}
	return err
}

// restartHome has Home Assistant restart, and waits until it runs.
func restartHome(ctx context.Context, look func(homeWish) (homeState, error)) error {
	if _, err := look(homeWish{Do: "restart"}); err != nil {
		return err
	}
	gone := false
	began := time.Now()
	const least = 10 * time.Second // by when one that restarts is away
	for {
		if err := pause(ctx, moveEvery); err != nil {
			return err
		}
		s, err := look(homeWish{Do: "look"})
		if err != nil {
			return err
		}
		gone = gone || !s.Answers || !s.Running
		if s.Answers && s.Running && (gone || time.Since(began) > least) {
			return nil
		}
	}
}

// changeHTTP has Home Assistant run with other settings of its web server, and keep them once
// it answers with them.
func changeHTTP(ctx context.Context, look func(homeWish) (homeState, error), before, after string) error {
	_, want, err := readOptions(after)
	if err != nil {
		return err
	}
	if _, err := look(homeWish{Do: "configure", Before: before, After: after}); err != nil {
		return err
	}
	for {
		if err := pause(ctx, moveEvery); err != nil {
			return err
		}
		s, err := look(homeWish{Do: "look"})
		switch {
		case err != nil:
			return err
		case !s.Answers:
		case s.Active == "pending" && s.Running:
			if _, err := look(homeWish{Do: "promote"}); err != nil {
				_, _ = look(homeWish{Do: "drop"}) // it takes them back by itself, otherwise
				return err
			}
		case s.Active == "stable" && s.Options == want:
			return nil
		case s.Failure != "":
			return &problem{status: statusUndone, err: fmt.Errorf("the new settings of its web server could not be used by Home Assistant (%s), and it runs on the old ones", s.Failure)}
		}
	}
}

// runHome has Home Assistant do something, by the verb for it.
func runHome(ctx context.Context, config string, argv []string) ([]byte, error) {
	args, err := configArgs(config)
	if err != nil {
		return nil, err
	}
	if args == nil {
		return nil, errors.New("there is no configuration of Gatehouse by which Home Assistant could be asked: \"gatehouse setup\" makes one")
	}
	ctx, cancel := context.WithTimeout(ctx, restartTime+time.Minute)
	defer cancel()
	cmd := itself(ctx, keeperEnv(), append(append(args, homeVerb), argv...)...)
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}
