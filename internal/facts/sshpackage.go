package facts

// Before reports whether the installed package is older than another version of it, as
// dpkg orders them (deb-version(7)).
func (r SSHRelease) Before(version string) bool {
	return comparePackageVersions(r.Package, version) < 0
}
