package facts

import "slices"

// YAMLSettings reads a file of YAML, flat: "mqtt.server", with names in lower case.
func (h *Host) YAMLSettings(name string) ([]Nested, error) { return h.yamlSettings(name) }

// Kept finds files of a name where people keep what belongs to their containers, and in
// Home Assistant's folder. The error says what could not be looked at.
func (h *Host) Kept(names ...string) ([]string, error) {
	dirs := composeDirs()
	if h.HADir != "" {
		dirs = append(dirs, h.HADir, h.HADir+"/*")
	}
	var all []string
	for _, dir := range dirs {
		for _, name := range names {
			found, err := h.Glob(dir + "/" + name)
			if err != nil {
				return all, err
			}
			all = append(all, found...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
