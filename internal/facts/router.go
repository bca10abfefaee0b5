package facts

// Router is what the local router said of itself, and what somebody outside tried, where
// the owner asked for it.
type Router struct {
	UPnP     bool // programs may open ports over UPnP
	Mappings []PortMapping
	PCP      bool   // it answers to PCP or NAT-PMP
	External string // its address on the Internet's side
	Tried    []int  // ports that were tried from outside
	Reached  []int  // those of them that were reached
}

// PortMapping is a port that a router leads to a machine in the house.
type PortMapping struct {
	Proto    string
	External int
	Client   string // the machine's address
	Internal int
	What     string // as whoever opened it calls it
}
