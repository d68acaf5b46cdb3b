//! The part of the contract that one service shows in gRPC reflection.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorProto;

/// A `google.protobuf.FileDescriptorSet` whose files stay encoded: decoding them would lose the
/// options of this contract.
#[derive(Clone, PartialEq, Message)]
struct EncodedFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// The encoded file descriptor set of one service, by its full name: the file that defines it and
/// the files that this one imports. Empty if the contract has no such service.
pub fn descriptors_of(service: &str) -> Vec<u8> {
    let contract = EncodedFiles::decode(crate::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let files: Vec<(FileDescriptorProto, Vec<u8>)> = contract
        .file
        .into_iter()
        .filter_map(|encoded| Some((FileDescriptorProto::decode(&*encoded).ok()?, encoded)))
        .collect();
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = files
        .iter()
        .filter(|(file, _)| defines(file, service))
        .map(|(file, _)| file.name())
        .collect();
    while let Some(name) = open.pop() {
        if wanted.insert(name) {
            let imports = files
                .iter()
                .filter(|(file, _)| file.name() == name)
                .flat_map(|(file, _)| &file.dependency);
            open.extend(imports.map(String::as_str));
        }
    }
    let file = files
        .iter()
        .filter(|(file, _)| wanted.contains(file.name()))
        .map(|(_, encoded)| encoded.clone())
        .collect();
    EncodedFiles { file }.encode_to_vec()
}

fn defines(file: &FileDescriptorProto, service: &str) -> bool {
    service
        .strip_prefix(file.package())
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|name| file.service.iter().any(|found| found.name() == name))
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;

    fn names(service: &str) -> Vec<String> {
        let files = FileDescriptorSet::decode(&*descriptors_of(service)).unwrap();
        let names = files.file.iter().map(|file| file.name().to_owned());
        names.collect()
    }

    #[test]
    fn a_service_has_its_own_file_and_what_that_imports() {
        let tokens = names("latchkey.token.v1.TokenService");
        assert!(tokens.contains(&"latchkey/token/v1/token.proto".to_owned()));
        assert!(tokens.contains(&"google/protobuf/timestamp.proto".to_owned()));
        let own = tokens.iter().filter(|name| name.starts_with("latchkey/"));
        assert_eq!(own.count(), 1, "{tokens:?}");
        assert!(
            names("latchkey.account.v1.AccountService")
                .contains(&"latchkey/account/v1/account.proto".to_owned())
        );
        assert_eq!(names("latchkey.token.v1.Nothing"), Vec::<String>::new());
    }
}
