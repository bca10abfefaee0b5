package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/agent"
	"gatehouse/internal/checks"
	"gatehouse/internal/config"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
	"gatehouse/internal/nft"
)

// agentSocket is where the agent is asked. Its directory is root's: nobody else can stand in
// for the agent there.
const agentSocket = "/run/gatehouse-agent/agent.sock"

func (a *app) newAgentCommand() *cobra.Command {
	socket := agentSocket
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Repair as root what somebody at the owner's desk has seen and wants",
		Long: `Runs as root beside the gateway, which does not. The owner's desk sends it the name of a
finding and the digest of the fix that it showed; the agent works the fix out by itself, and
applies its own if it is the same. It listens on a Unix socket to root and to the user whose
the gateway's state is, and to nobody else. It undoes and confirms nothing: that is for
whoever logs in to this machine.

With offload = "nftables" under [guard], it also has the kernel drop new connections to the
doors from who is banned, when the gateway asks for it: only from public addresses, never from
this machine's own, its neighbours or what the configuration allows, and at most for a week.
That takes the capability CAP_NET_ADMIN. The table inet gatehouse_guard goes when it ends.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runAgent(cmd.Context(), socket) },
	}
	cmd.Flags().StringVar(&socket, "socket", socket, "listen on this `SOCKET`")
	return cmd
}

func (a *app) runAgent(ctx context.Context, socket string) error {
	if os.Geteuid() != 0 {
		return &problem{status: statusCannot, err: errors.New("the agent repairs as root, and this is not root"), hint: "run it by its systemd unit, or with sudo"}
	}
	cfg, err := a.someConfig()
	if err != nil {
		return err
	}
	state, _ := a.configPath()
	log := slog.New(slog.NewTextHandler(a.err, nil))
	service := uint32(0)
	if cfg != nil {
		if err := rootsAlone(state); err != nil {
			return err
		}
		owner, err := stateOwner(cfg.State.Dir, state)
		if err != nil {
			return err
		}
		if owner != nil {
			service = owner.Uid
		}
	}
	l, err := listenAgent(socket, service)
	if err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("open the agent's socket: %w", err)}
	}
	a.note("the agent listens at %s, to root and user %s", socket, userName(service))
	bans, end, err := dropping(cfg, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer end()
	return agent.New(&agentHost{a}, bans, func(uid uint32) bool { return uid == 0 || uid == service }, log).Serve(ctx, l)
}

// dropping returns what has the kernel drop who is banned, or nil where the configuration does
// not say so; what an earlier agent left is removed then. end removes it all.
func dropping(cfg *config.Config, log *slog.Logger) (bans *agent.Bans, end func(), err error) {
	ports, err := doorPorts(cfg)
	if err != nil {
		return nil, nil, err
	}
	table, err := nft.New(ports)
	if err != nil {
		return nil, nil, err
	}
	remove := func() {
		if err := table.Remove(); err != nil {
			log.Warn("what the kernel drops for the gateway ends by itself", "error", err)
		}
	}
	if cfg == nil || cfg.Guard.Offload != config.Nftables {
		if err := table.Remove(); err != nil {
			log.Debug("nobody knows whether an earlier agent left something in the kernel", "error", err)
		}
		return nil, func() {}, nil
	}
	allow, err := neverDropped(cfg)
	if err != nil {
		return nil, nil, err
	}
	if err := table.Ensure(); err != nil {
		log.Warn("the kernel does not drop who is banned; it is tried again when the gateway asks", "error", err)
	}
	bans = &agent.Bans{Drops: table, Own: ownNetworks, Allow: allow, Now: time.Now}
	return bans, func() { bans.End(); remove() }, nil
}

// doorPorts are the TCP ports that the doors listen on.
func doorPorts(cfg *config.Config) (ports []uint16, err error) {
	if cfg == nil {
		return nil, nil
	}
	var listens []string
	if d := cfg.Doors.HTTPS; d != nil {
		listens = append(listens, d.Listen)
	}
	if d := cfg.Doors.LAN; d != nil {
		listens = append(listens, d.Listen)
	}
	for _, listen := range listens {
		_, port, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, fmt.Errorf("find the doors' ports: %w", err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("find the doors' ports: %w", err)
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// neverDropped are the networks that the configuration allows, and those of proxies in front
// of the doors, behind which all visitors are.
func neverDropped(cfg *config.Config) (all []netip.Prefix, err error) {
	for _, text := range cfg.Guard.Allow {
		p, err := config.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("guard.allow: %q %w", text, err)
		}
		all = append(all, p)
	}
	return append(append(all, httpsProxies(cfg).Trusted...), lanProxies(cfg).Trusted...), nil
}

// ownNetworks are this machine's addresses, each with the network around it. With an error
// come those that can be read.
func ownNetworks() (all []netip.Prefix, err error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		p, unread := netip.ParsePrefix(a.String())
		if unread == nil {
			all = append(all, p)
		}
		err = errors.Join(err, unread)
	}
	return all, err
}

// ownAddrs are this machine's addresses, as far as they can be read.
func ownAddrs() (own []netip.Addr) {
	networks, _ := ownNetworks()
	for _, p := range networks {
		own = append(own, p.Addr().Unmap().WithZone(""))
	}
	return own
}

// rootsAlone makes sure that nobody but root says in a configuration what root repairs, and
// where.
func rootsAlone(config string) error {
	file, err := filepath.Abs(config)
	if err != nil {
		return fmt.Errorf("look at the configuration: %w", err)
	}
	where, uid, others := othersOnTheWay(file)
	if others {
		return &problem{status: statusCannot, err: fmt.Errorf("%s belongs to %s, who could tell root what to repair", where, userName(uid)), hint: "chown root " + where}
	}
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o022 != 0 {
		return &problem{status: statusCannot, err: fmt.Errorf("others than root may write to %s", file), hint: "chmod go-w " + file}
	}
	return err
}

// listenAgent makes the socket, in a directory of root's, for root and one other user.
func listenAgent(socket string, service uint32) (net.Listener, error) {
	dir := filepath.Dir(socket)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if where, uid, others := othersOnTheWay(dir); others {
		return nil, fmt.Errorf("%s belongs to %s, who could stand in for the agent", where, userName(uid))
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o022 != 0 {
		return nil, errors.Join(err, fmt.Errorf("others than root may write to %s", dir))
	}
	if info, err := os.Lstat(socket); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if c, err := net.Dial("unix", socket); err == nil {
			return nil, errors.Join(errors.New("an agent runs already"), c.Close())
		}
		if err := os.Remove(socket); err != nil {
			return nil, err
		}
	}
	mask := syscall.Umask(0o177)
	l, err := net.Listen("unix", socket)
	syscall.Umask(mask)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(socket, int(service), 0); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// agentHost is this machine, as the agent repairs it. Each question reads it anew.
type agentHost struct{ app *app }

func (h *agentHost) open(ctx context.Context) (*fixing, error) {
	x := &fixing{auditing: auditing{app: h.app, root: "/", noWalk: true}}
	if err := x.open(ctx); err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

// Findings implements agent.Host.
func (h *agentHost) Findings(ctx context.Context) ([]finding.Finding, error) {
	x, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	defer x.close()
	x.asked = checks.Repairable()
	if err := x.judge(ctx); err != nil {
		return nil, err
	}
	return x.report.Checks, nil
}

// Plan implements agent.Host.
func (h *agentHost) Plan(ctx context.Context, id string) (finding.Fix, error) {
	c, ok := checks.Find(id)
	if !ok {
		return finding.Fix{}, fix.Refuse("", "there is no check %q", id)
	}
	x, err := h.open(ctx)
	if err != nil {
		return finding.Fix{}, err
	}
	defer x.close()
	p := fix.Make(x.host, []fix.Rule{x.ruleOf(c)})
	if p.Empty() {
		return finding.Fix{}, fix.Refuse(p.Left[0].Hint, "%s", p.Left[0].Why)
	}
	return p.Fixes[0], nil
}

// Apply implements agent.Host.
func (h *agentHost) Apply(ctx context.Context, f finding.Fix) (int, fix.State, error) {
	x, err := h.open(ctx)
	if err != nil {
		return 0, "", err
	}
	defer x.close()
	fixer, closing, err := h.app.openFixer("/", x.cfg, x.host, fix.MakeJournal)
	if err != nil {
		return 0, "", err
	}
	defer closing()
	t, err := fixer.Apply(ctx, []finding.Fix{f})
	if err != nil {
		return 0, "", err
	}
	return t.N, t.State(), nil
}
