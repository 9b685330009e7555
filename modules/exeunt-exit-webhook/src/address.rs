//! Which addresses a web server may have: public ones, and those that the operator allows.
//!
//! Whoever can choose the URL, or can change what a name resolves to, must not make the CA's machine
//! talk to its own neighbours. What is refused are the blocks that the registries of IANA for
//! special purposes do not call globally reachable (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Most networks in `allow_networks`.
pub const NETWORKS_MAX: usize = 64;

/// The IANA IPv4 Special-Purpose Address Registry, and multicast (RFC 5771).
const NOT_PUBLIC_V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 0, 8), "this host (RFC 791)"),
    (v4(10, 0, 0, 0, 8), "private (RFC 1918)"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier (RFC 6598)"),
    (v4(127, 0, 0, 0, 8), "loopback (RFC 1122)"),
    (v4(169, 254, 0, 0, 16), "link-local (RFC 3927)"),
    (v4(172, 16, 0, 0, 12), "private (RFC 1918)"),
    (v4(192, 0, 0, 0, 24), "for protocols (RFC 6890)"),
    (v4(192, 0, 2, 0, 24), "for documentation (RFC 5737)"),
    (v4(192, 88, 99, 0, 24), "6to4 (RFC 7526)"),
    (v4(192, 168, 0, 0, 16), "private (RFC 1918)"),
    (v4(198, 18, 0, 0, 15), "for benchmarks (RFC 2544)"),
    (v4(198, 51, 100, 0, 24), "for documentation (RFC 5737)"),
    (v4(203, 0, 113, 0, 24), "for documentation (RFC 5737)"),
    (v4(224, 0, 0, 0, 4), "multicast (RFC 5771)"),
    (v4(240, 0, 0, 0, 4), "reserved (RFC 1112)"),
];

/// What is special inside `2000::/3`. Everything outside of it is refused, but for NAT64.
const NOT_PUBLIC_V6: [(Ipv6Net, &str); 4] = [
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "for protocols (RFC 2928)"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "for documentation (RFC 3849)"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4 (RFC 7526)"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "for documentation (RFC 9637)"),
];

/// What else has a word of its own; the words alone, because all of it is outside of `2000::/3`.
const NAMED_V6: [(Ipv6Net, &str); 4] = [
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local (RFC 4193)"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local (RFC 4291)"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast (RFC 4291)"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback (RFC 4291)"),
];

/// Unicast that is given out at all (RFC 4291, IANA IPv6 Address Space).
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The well-known prefix behind which IPv4 addresses are reached (RFC 6052, section 2.1).
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(it: [u16; 8], prefix: u8) -> Ipv6Net {
    let mut bits = 0;
    let mut index = 0;
    // No iterator works in a constant.
    while index < it.len() {
        bits = bits << 16 | it[index] as u128;
        index += 1;
    }
    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), prefix)
}

/// What an address is, where it is not public; `None` where it is.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(it) => word(&NOT_PUBLIC_V4, |(net, _)| net.contains(&it)),
        IpAddr::V6(it) if NAT64.contains(&it) => {
            let [.., a, b, c, d] = it.octets();
            not_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(it) if GLOBAL_UNICAST.contains(&it) => {
            word(&NOT_PUBLIC_V6, |(net, _)| net.contains(&it))
        }
        IpAddr::V6(it) => {
            Some(word(&NAMED_V6, |(net, _)| net.contains(&it)).unwrap_or("not public (RFC 4291)"))
        }
    }
}

fn word<N>(
    blocks: &[(N, &'static str)],
    holds: impl Fn(&(N, &'static str)) -> bool,
) -> Option<&'static str> {
    blocks.iter().find(|it| holds(it)).map(|(_, word)| *word)
}

/// The networks that the operator allows beside the public ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<IpNet>);

impl Allowed {
    /// Reads networks such as `10.1.0.0/16`, and single addresses.
    ///
    /// # Errors
    ///
    /// One line that says which is none.
    pub fn parse(texts: &[&str]) -> Result<Self, String> {
        if NETWORKS_MAX < texts.len() {
            return Err(format!("allow_networks has more than {NETWORKS_MAX} entries"));
        }
        let network = |text: &&str| {
            let address = || text.parse::<IpAddr>().map(|it| IpNet::from(it.to_canonical()));
            text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
                format!("allow_networks: {text:?} is no network such as 10.1.0.0/16 or fd00::/8")
            })
        };
        texts.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Why this address may not be talked to; `None` where it may.
    pub fn refuse(&self, address: IpAddr) -> Option<&'static str> {
        // A mapped address is the IPv4 address, whatever it is written as.
        let address = address.to_canonical();
        if self.0.iter().any(|it| it.contains(&address)) {
            return None;
        }
        not_public(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word_of(text: &str) -> Option<&'static str> {
        not_public(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_public_and_special_ones_are_not() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(word_of(public), None, "{public}");
        }
        for (special, said) in [
            ("0.0.0.0", "this host"),
            ("0.1.2.3", "this host"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "carrier"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("172.31.255.255", "private"),
            ("192.168.0.1", "private"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::", "not public"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::127.0.0.1", "not public"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b:1::1", "not public"),
            ("100::1", "not public"),
            ("2001::1", "for protocols"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::", "6to4"),
            ("3fff::1", "documentation"),
            ("5f00::1", "not public"),
            ("fc00::1", "unique local"),
            ("fdff::1", "unique local"),
            ("fe80::1", "link-local"),
            ("fec0::1", "not public"),
            ("ff02::1", "multicast"),
        ] {
            assert!(word_of(special).is_some_and(|it| it.contains(said)), "{special}");
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_and_nothing_beside_it() {
        let allowed = Allowed::parse(&["10.1.0.0/16", "127.0.0.1", "fd00::/8"]).unwrap();
        for (address, refused) in [
            ("10.1.2.3", false),
            ("::ffff:10.1.2.3", false),
            ("10.2.0.1", true),
            ("127.0.0.1", false),
            ("127.0.0.2", true),
            ("fd12::1", false),
            ("fc12::1", true),
            ("64:ff9b::10.1.2.3", true),
        ] {
            assert_eq!(allowed.refuse(address.parse().unwrap()).is_some(), refused, "{address}");
        }
        for text in ["", "10.1.0.0/33", "example.com", "10.1", "10.1.0.0/16/8"] {
            assert!(Allowed::parse(&[text]).is_err(), "{text:?}");
        }
    }

    proptest! {
        /// The standard library knows some of the blocks as well.
        #[test]
        fn no_ipv4_address_that_the_standard_library_calls_special_is_public(bits: u32) {
            let it = Ipv4Addr::from_bits(bits);
            if it.is_private() || it.is_loopback() || it.is_link_local() || it.is_broadcast()
                || it.is_documentation() || it.is_unspecified() || it.is_multicast()
            {
                prop_assert!(not_public(it.into()).is_some(), "{}", it);
            }
        }

        #[test]
        fn a_mapped_address_is_what_its_ipv4_address_is(bits: u32) {
            let it = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(not_public(it.into()), not_public(it.to_ipv6_mapped().into()));
            let [a, b, c, d] = it.octets();
            let [ab, cd] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, ab, cd);
            prop_assert_eq!(not_public(it.into()), not_public(nat64.into()));
        }

        #[test]
        fn no_ipv6_address_outside_of_global_unicast_is_public(bits: u128) {
            let it = Ipv6Addr::from_bits(bits);
            let first = bits >> 125;
            if first != 1 && it.to_ipv4_mapped().is_none() && bits >> 32 != 0x0064_ff9b << 64 {
                prop_assert!(not_public(it.into()).is_some(), "{}", it);
            }
            if it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local()
                || it.is_multicast() || it.is_unspecified()
            {
                prop_assert!(not_public(it.into()).is_some(), "{}", it);
            }
        }
    }
}
