//! AWS's partitions, and the names of the regions in them.

/// The domain of a partition's services; `None` if the partition is unknown, or the region is not in it.
///
/// The form of the region matters, as it becomes a part of a host name: `s3-accelerate.amazonaws.com`,
/// `s3-external-1.amazonaws.com` and `s3-fips-us-gov-west-1.amazonaws.com` serve buckets of any account.
pub(crate) fn domain(partition: &str, region: &str) -> Option<&'static str> {
    let is_china = region.starts_with("cn-");
    let is_government = region.starts_with("us-gov-");
    let (domain, fits) = match partition {
        "aws" => ("amazonaws.com", !is_china && !is_government),
        "aws-us-gov" => ("amazonaws.com", is_government),
        "aws-cn" => ("amazonaws.com.cn", is_china),
        _ => return None,
    };
    (fits && is_region(region)).then_some(domain)
}

/// `us-gov-west-1`: two letters, words, a number.
fn is_region(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let is_word =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts.as_slice() {
        [area, words @ .., number] => {
            area.len() == 2
                && is_word(area)
                && !words.is_empty()
                && words.iter().all(is_word)
                && matches!(number.len(), 1..=2)
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_distinguished_from_other_parts_of_host_names() {
        for (partition, region, expected) in [
            ("aws", "us-east-1", Some("amazonaws.com")),
            ("aws", "ap-southeast-12", Some("amazonaws.com")),
            ("aws-us-gov", "us-gov-west-1", Some("amazonaws.com")),
            ("aws-cn", "cn-north-1", Some("amazonaws.com.cn")),
            ("aws", "cn-north-1", None),
            ("aws-cn", "us-east-1", None),
            ("aws", "us-gov-west-1", None),
            ("aws-iso", "us-iso-east-1", None),
            ("", "us-east-1", None),
            ("aws", "accelerate", None),
            ("aws", "external-1", None),
            ("aws", "fips-us-gov-west-1", None),
            ("aws-us-gov", "fips-us-gov-west-1", None),
            ("aws", "website-us-east-1", None),
            ("aws", "s3", None),
            ("aws", "us-east-1a", None),
            ("aws", "us--1", None),
            ("aws", "US-EAST-1", None),
            ("aws", "", None),
        ] {
            assert_eq!(domain(partition, region), expected, "{partition} {region}");
        }
    }
}
