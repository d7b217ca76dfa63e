//! Which level of x86-64 the processor has, as far as programs may use it.
//!
//! What `cpuid` says of AVX counts only if the system keeps the wider registers, and that is part of the standard library's answer. A level
//! is that of all its instructions: some small processors have AVX2 and lack another of its level.

/// The level; nothing on other processors.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub(super) fn x86_64_level() -> Option<u8> {
    use std::arch::is_x86_feature_detected as has;
    let second = has!("cmpxchg16b")
        && has!("popcnt")
        && has!("sse3")
        && has!("sse4.1")
        && has!("sse4.2")
        && has!("ssse3");
    let third = has!("avx")
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe")
        && has!("xsave");
    let fourth = has!("avx512f")
        && has!("avx512bw")
        && has!("avx512cd")
        && has!("avx512dq")
        && has!("avx512vl");
    let levels = [second, third, fourth];
    Some(1 + u8::try_from(levels.iter().take_while(|has| **has).count()).unwrap_or_default())
}

/// The level; nothing on other processors.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub(super) fn x86_64_level() -> Option<u8> {
    None
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    /// The kernel says which features it lets programs use.
    #[test]
    fn as_the_kernel_says() {
        let text = std::fs::read_to_string("/proc/cpuinfo").expect("readable");
        let flags = text.lines().find_map(|line| line.strip_prefix("flags")).expect("on x86-64");
        let has = |names: &[&str]| {
            names.iter().all(|name| flags.split_whitespace().any(|flag| flag == *name))
        };
        let levels = [
            has(&["cx16", "popcnt", "sse4_1", "sse4_2", "ssse3"]),
            has(&["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]),
            has(&["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
        ];
        let expected = 1 + levels.iter().take_while(|has| **has).count();
        assert_eq!(super::x86_64_level().map(usize::from), Some(expected));
    }
}
