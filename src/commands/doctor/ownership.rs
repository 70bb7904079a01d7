//! Who owns a file, who may read it, and what they are called.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The bits of a file's mode that say who may do what.
pub(super) fn mode(found: &Metadata) -> u32 {
    found.mode() & 0o7777
}

/// Whether any user of this machine may read it.
pub(super) fn anyone_reads(found: &Metadata) -> bool {
    mode(found) & 0o004 != 0
}

/// Whether others than its owner may read or change it.
pub(super) fn others_have(found: &Metadata) -> bool {
    mode(found) & 0o077 != 0
}

/// Whether this process may do that, with the rights it has now.
pub(super) fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

/// The name of a user, or the number where it has none.
pub(super) fn user(uid: u32) -> String {
    name_in("/etc/passwd", uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group, or the number where it has none.
pub(super) fn group(gid: u32) -> String {
    name_in("/etc/group", gid).unwrap_or_else(|| gid.to_string())
}

/// Who this process works for.
pub(super) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process is in a group.
pub(super) fn in_group(gid: u32) -> bool {
    let own = rustix::process::getegid().as_raw() == gid;
    own || rustix::process::getgroups().is_ok_and(|all| all.iter().any(|one| one.as_raw() == gid))
}

/// Whether a user is a member of a group by the system's list, which counts from the next time they log in.
pub(super) fn is_member(user: &str, gid: u32) -> bool {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    groups.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        fields.get(2).and_then(|number| number.parse().ok()) == Some(gid)
            && fields.get(3).is_some_and(|members| members.split(',').any(|one| one == user))
    })
}

fn name_in(file: &str, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_has_a_name_and_an_unknown_one_a_number() {
        assert_eq!(user(0), "root");
        assert_eq!(group(0), "root");
        assert_eq!(user(4_000_000_000), "4000000000");
    }
}
