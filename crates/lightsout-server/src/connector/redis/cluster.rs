//! Which server of a cluster holds which slots.

use super::failure::explain;
use super::servers::Node;
use crate::connector::ConnectorError;

const SLOTS: u16 = 16_384;

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The primaries, with the slots of each.
#[derive(Clone, Debug)]
pub(super) struct Topology(Vec<Primary>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Primary {
    id: String,
    address: Address,
    /// First and last of each range.
    slots: Vec<(u16, u16)>,
}

impl Topology {
    /// As a server sees it.
    pub(super) async fn read(node: &Node) -> Result<Self, ConnectorError> {
        match node.ask_one(redis::cmd("CLUSTER").arg("NODES")).await {
            Ok(redis::Value::BulkString(bytes)) => Self::parse(&String::from_utf8_lossy(&bytes))
                .map_err(|why| ConnectorError::Unexpected(why.to_owned())),
            Ok(redis::Value::VerbatimString { text, .. }) => {
                Self::parse(&text).map_err(|why| ConnectorError::Unexpected(why.to_owned()))
            }
            Ok(_) => Err(ConnectorError::Unexpected("it does not say what its cluster is".to_owned())),
            Err(error) if error.to_string().contains("cluster support disabled") => {
                Err(ConnectorError::Unexpected(
                    "this server is not one of a cluster: write url instead of cluster".to_owned(),
                ))
            }
            Err(error) => Err(explain(&error)),
        }
    }

    /// Reads the answer of CLUSTER NODES: a line for each server, of which the slots come last.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const UNREADABLE: &str = "it says of its cluster what cannot be read";
        let mut primaries = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [id, address, flags, _, _, _, _, _, slots @ ..] = words.as_slice() else {
                return Err(UNREADABLE);
            };
            if slots.is_empty() || !flags.split(',').any(|flag| flag == "master") {
                continue;
            }
            if slots.iter().any(|slot| slot.starts_with('[')) {
                return Err("slots of the cluster are being moved; the pass begins anew");
            }
            let range = |text: &&str| -> Option<(u16, u16)> {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                Some((first.parse().ok()?, last.parse().ok()?))
            };
            let slots: Option<Vec<(u16, u16)>> = slots.iter().map(range).collect();
            let (Some(address), Some(slots)) = (address_of(address), slots) else { return Err(UNREADABLE) };
            primaries.push(Primary { id: (*id).to_owned(), address, slots });
        }
        primaries.sort();
        let covered: u32 =
            primaries.iter().flat_map(|p| &p.slots).map(|(a, b)| u32::from(b.saturating_sub(*a)) + 1).sum();
        if covered != u32::from(SLOTS) {
            return Err("not every slot of the cluster has a primary");
        }
        Ok(Self(primaries))
    }

    /// Whether another server sees the same; each may know another name of an address.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let seen = |topology: &Self| -> Vec<(String, Vec<(u16, u16)>)> {
            topology.0.iter().map(|primary| (primary.id.clone(), primary.slots.clone())).collect()
        };
        seen(self) == seen(other)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.0.iter().map(|primary| &primary.address)
    }

    /// The number of the primary that holds a key.
    pub(super) fn node_of(&self, key: &[u8]) -> usize {
        let slot = slot(key);
        let holds =
            |primary: &Primary| primary.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        self.0.iter().position(holds).expect("every slot has a primary")
    }
}

/// `host:port@bus`, with `,name` behind it where the server has a name; certificates are made out to
/// that.
fn address_of(text: &str) -> Option<Address> {
    let mut parts = text.split(',');
    let (host, port) = parts.next()?.split('@').next()?.rsplit_once(':')?;
    let name = parts.find(|part| !part.is_empty() && !part.contains('='));
    Some(Address { host: name.unwrap_or(host).to_owned(), port: port.parse().ok()? })
}

/// The slot of a key: CRC16 (XMODEM) of what stands between the first braces, or of all of it.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inner = &key[open + 1..];
        let close = inner.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &inner[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), crc16(b"{bar") % SLOTS);
        assert_eq!(slot(b"sess:a"), crc16(b"sess:a") % SLOTS);
    }

    #[test]
    fn a_cluster_must_be_whole_and_at_rest() {
        let nodes = "a 10.0.0.1:7000@17000,one.example myself,master - 0 1 1 connected 0-8191\n\
                     b :7001@17001 master - 0 2 2 connected 8192-16382 16383\n\
                     c 10.0.0.3:7002@17002 slave a 0 3 3 connected\n";
        let topology = Topology::parse(nodes).expect("whole");
        let addresses: Vec<String> = topology.addresses().map(|a| format!("{}:{}", a.host, a.port)).collect();
        assert_eq!(addresses, ["one.example:7000", ":7001"]);
        assert!(Topology::parse(&nodes.replace("8192-16382 ", "")).is_err());
        let moving = nodes.replace("16383\n", "16383 [93-<-292f8b]\n");
        assert!(Topology::parse(&moving).expect_err("not at rest").contains("being moved"));
        assert!(Topology::parse("what").is_err());
    }
}
