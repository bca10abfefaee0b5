package router

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// igdAnswer is what a router said over UPnP.
type igdAnswer struct {
	found    bool // it answers to a search for an Internet gateway
	mappings []Mapping
	external netip.Addr
	nowhere  error // why it is not known where it is on the Internet's side
	err      error // why it is not known whether this is all; nil where it is silent
}

// Bounds of what is taken of a router.
const (
	maxXML      = 128 << 10
	maxElements = 4096
	maxDepth    = 32
	maxServices = 8
	maxMappings = 512
	maxHeader   = 16 << 10
)

// What a gateway says instead of a mapping when there is none of that number (UPnP IGD,
// WANIPConnection, section 2.4.14). Anything else leaves open whether there are more.
const (
	errorNoSuchIndex = 713
	errorNoSuchEntry = 714
)

// askIGD asks a router over UPnP which ports it leads where, and where it is on the
// Internet's side.
func (a asking) askIGD(ctx context.Context, gateway, self netip.Addr) igdAnswer {
	locations, found, err := a.search(ctx, gateway, self)
	said := igdAnswer{found: found, err: err}
	w := igdTalk{gateway: gateway}
	services := 0
	for _, at := range locations {
		all, err := w.describe(ctx, at)
		if err != nil {
			said.err = errors.Join(said.err, fmt.Errorf("its description: %w", err))
		}
		for _, s := range all {
			if slices.ContainsFunc(w.asked, func(o service) bool { return o.kind == s.kind && o.control.String() == s.control.String() }) {
				continue
			}
			if services++; services > maxServices {
				said.err = errors.Join(said.err, fmt.Errorf("it describes more than %d connections", maxServices))
				break
			}
			w.asked = append(w.asked, s)
		}
	}
	if len(locations) > 0 && len(w.asked) == 0 && said.err == nil {
		said.err = errors.New("its description names no connection to the Internet")
	}
	for _, s := range w.asked {
		external, err := w.external(ctx, s)
		if err != nil {
			said.nowhere = fmt.Errorf("its address: %w", err)
		}
		if !said.external.IsValid() {
			said.external = external
		}
		if a.outside {
			continue
		}
		if err := w.list(ctx, s, &said.mappings); err != nil {
			said.err = errors.Join(said.err, fmt.Errorf("its list of openings: %w", err))
		}
	}
	return said
}

// igdTalk asks one router over HTTP.
type igdTalk struct {
	gateway netip.Addr
	asked   []service
}

// A service is a connection of a router's, and where it is controlled.
type service struct {
	kind    string
	control *url.URL
}

// do sends one request to the router and to nobody else, and follows nothing.
func (w igdTalk) do(r *http.Request) (status int, body []byte, err error) {
	if err := isOwn(w.gateway, r.URL); err != nil {
		return 0, nil, err
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(address)
			if err != nil || to.Addr() != w.gateway {
				return nil, errors.New("it leads elsewhere")
			}
			return dialer().DialContext(ctx, "tcp", address)
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxXML+1))
	if err == nil && len(body) > maxXML {
		err = errors.New("the answer is too long")
	}
	return answer.StatusCode, body, err
}

// describe reads a router's description of itself.
func (w igdTalk) describe(ctx context.Context, at *url.URL) ([]service, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	status, body, err := w.do(r)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("it answers with %d", status)
	}
	return parseDescription(w.gateway, at, body)
}

// A device is part of a description, with those inside it.
type device struct {
	Services []struct {
		Type    string `xml:"serviceType"`
		Control string `xml:"controlURL"`
	} `xml:"serviceList>service"`
	Devices []device `xml:"deviceList>device"`
}

// parseDescription reads the connections in a description that was found at an address
// (UPnP Device Architecture 1.0, section 2.1). What leads elsewhere is an error beside
// what does not.
func parseDescription(gateway netip.Addr, at *url.URL, text []byte) ([]service, error) {
	var root struct {
		XMLName xml.Name `xml:"root"`
		Base    string   `xml:"URLBase"`
		Device  device   `xml:"device"`
	}
	if err := parseXML(text, &root); err != nil {
		return nil, err
	}
	if base := strings.TrimSpace(root.Base); base != "" {
		u, err := own(gateway, base)
		if err != nil {
			return nil, err
		}
		at = u
	}
	var all []service
	var errs []error
	var visit func(device)
	visit = func(d device) {
		for _, s := range d.Services {
			kind := strings.TrimSpace(s.Type)
			if !slices.Contains(connections(), kind) {
				continue
			}
			to, err := at.Parse(strings.TrimSpace(s.Control))
			if err != nil {
				err = errors.New("it is controlled at what is no address")
			} else {
				err = isOwn(gateway, to)
			}
			switch {
			case err == nil && len(all) <= maxServices:
				all = append(all, service{kind, to})
			case err != nil && len(errs) < maxServices:
				errs = append(errs, err)
			}
		}
		for _, inner := range d.Devices {
			visit(inner)
		}
	}
	visit(root.Device)
	return all, errors.Join(errs...)
}

// parseXML reads one document of XML, within bounds and without declarations: what it is
// made of is counted before anything is kept of it.
func parseXML(text []byte, into any) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	roots, elements, depth := 0, 0, 0
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("it is no XML: %s", plain(err.Error(), 80))
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			elements++
			depth++
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("its XML declares things of its own")
		case xml.ProcInst:
			if t.Target != "xml" {
				return errors.New("its XML gives orders")
			}
		}
		if depth < 0 || roots > 1 || elements > maxElements || depth > maxDepth {
			return errors.New("its XML is too large, or not one document")
		}
	}
	if err := xml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("it is not the XML that was asked for: %s", plain(err.Error(), 80))
	}
	return nil
}

// ask calls an action of a service that changes nothing (UPnP Device Architecture 1.0,
// section 3.2). What is written here is ours alone: the kind is one of connections.
func (w igdTalk) ask(ctx context.Context, s service, action, arguments string) (envelope, error) {
	const before, after = `<?xml version="1.0"?>` + "\r\n" +
		`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>`, `</s:Body></s:Envelope>`
	text := before + `<u:` + action + ` xmlns:u="` + s.kind + `">` + arguments + `</u:` + action + `>` + after
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.control.String(), strings.NewReader(text))
	if err != nil {
		return envelope{}, err
	}
	r.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	r.Header["SOAPAction"] = []string{`"` + s.kind + `#` + action + `"`}
	status, body, err := w.do(r)
	if err != nil {
		return envelope{}, err
	}
	if status != http.StatusOK && status != http.StatusInternalServerError { // SOAP 1.1, section 6.2
		return envelope{}, fmt.Errorf("it answers with %d", status)
	}
	return parseEnvelope(body)
}

// envelope is an answer to one of the two actions, or a fault.
type envelope struct {
	XMLName xml.Name `xml:"Envelope"`
	Body    struct {
		External *struct {
			Address string `xml:"NewExternalIPAddress"`
		} `xml:"GetExternalIPAddressResponse"`
		Mapping *struct {
			From     string `xml:"NewRemoteHost"`
			External string `xml:"NewExternalPort"`
			Proto    string `xml:"NewProtocol"`
			Internal string `xml:"NewInternalPort"`
			Client   string `xml:"NewInternalClient"`
			Enabled  string `xml:"NewEnabled"`
			What     string `xml:"NewPortMappingDescription"`
		} `xml:"GetGenericPortMappingEntryResponse"`
		Fault *struct {
			Code int `xml:"detail>UPnPError>errorCode"`
		} `xml:"Fault"`
	} `xml:"Body"`
}

func parseEnvelope(text []byte) (envelope, error) {
	var e envelope
	if err := parseXML(text, &e); err != nil {
		return envelope{}, err
	}
	given := 0
	for _, there := range []bool{e.Body.External != nil, e.Body.Mapping != nil, e.Body.Fault != nil} {
		if there {
			given++
		}
	}
	if given != 1 {
		return envelope{}, errors.New("it says nothing that was asked, or several things")
	}
	return e, nil
}

// external asks for the address on the Internet's side; an invalid one where it says that
// there is none.
func (w igdTalk) external(ctx context.Context, s service) (netip.Addr, error) {
	e, err := w.ask(ctx, s, "GetExternalIPAddress", "")
	if err != nil {
		return netip.Addr{}, err
	}
	return e.external()
}

// external reads an address out of an answer.
func (e envelope) external() (netip.Addr, error) {
	switch said := e.Body.External; {
	case e.Body.Fault != nil:
		return netip.Addr{}, nil
	case said == nil:
		return netip.Addr{}, errors.New("it says something else")
	case strings.TrimSpace(said.Address) == "":
		return netip.Addr{}, nil
	default:
		address, err := netip.ParseAddr(strings.TrimSpace(said.Address))
		if err != nil || address.Zone() != "" {
			return netip.Addr{}, fmt.Errorf("%q is none", plain(said.Address, 60))
		}
		if address.IsUnspecified() {
			return netip.Addr{}, nil
		}
		return address.Unmap(), nil
	}
}

// list asks for the mappings of a service, one after another, to the end. What is there
// already is not added again.
func (w igdTalk) list(ctx context.Context, s service, all *[]Mapping) error {
	for n := range maxMappings {
		e, err := w.ask(ctx, s, "GetGenericPortMappingEntry", fmt.Sprintf("<NewPortMappingIndex>%d</NewPortMappingIndex>", n))
		switch {
		case err != nil:
			return err
		case e.Body.Fault != nil && (e.Body.Fault.Code == errorNoSuchIndex || e.Body.Fault.Code == errorNoSuchEntry):
			return nil
		case e.Body.Fault != nil:
			return fmt.Errorf("it does not say number %d (error %d)", n, e.Body.Fault.Code)
		}
		m, err := e.mapping()
		if err != nil {
			return fmt.Errorf("number %d: %w", n, err)
		}
		if !slices.Contains(*all, m) {
			*all = append(*all, m)
		}
	}
	return fmt.Errorf("it does not end after %d", maxMappings)
}

// mapping reads a mapping out of an answer.
func (e envelope) mapping() (Mapping, error) {
	said := e.Body.Mapping
	if said == nil {
		return Mapping{}, errors.New("it says something else")
	}
	m := Mapping{Proto: strings.ToUpper(strings.TrimSpace(said.Proto)), Client: plain(said.Client, 60), From: plain(said.From, 60), What: plain(said.What, 60)}
	if m.Proto != "TCP" && m.Proto != "UDP" {
		return Mapping{}, errors.New("neither TCP nor UDP")
	}
	if m.From == "0.0.0.0" || m.From == "*" {
		m.From = ""
	}
	var err error
	if m.External, err = port(said.External); err != nil {
		return Mapping{}, err
	}
	if m.Internal, err = port(said.Internal); err != nil {
		return Mapping{}, err
	}
	// What does not say that it is off, counts as in force.
	off := strings.ToLower(strings.TrimSpace(said.Enabled))
	m.Off = off == "0" || off == "false" || off == "no"
	return m, nil
}

// port reads a port; 0 is every port that has no mapping of its own.
func port(text string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", plain(text, 20))
	}
	return int(n), nil
}
