//! The checks there are. Names and numbers are stable: allowances and reports refer to them.

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$heuristic:ident])? $number:literal $variant:ident $name:literal $summary:literal;)*) => {
        /// A check. Each has a page in `docs/checks`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $summary] $variant = $number,)*
        }

        impl Code {
            /// Every check, by number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name: lower case, with hyphens.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it looks at, in one line.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary),* }
            }

            /// Whether it reads signs rather than applies rules.
            #[must_use]
            pub fn is_heuristic(self) -> bool {
                match self { $(Self::$variant => false $(|| stringify!($heuristic) == "heuristic")?),* }
            }
        }
    };
}

codes! {
    1 GlibcFloor "glibc-floor" "symbol versions newer than the oldest glibc";
    2 PackedRelocations "packed-relocations" "relocations (DT_RELR) that older C libraries cannot read";
    3 LibstdcxxFloor "libstdcxx-floor" "symbol versions newer than the oldest libstdc++ or libgcc";
    4 CLibrary "c-library" "files linked with another C library than the target's";
    5 LibraryClosure "library-closure" "libraries that neither the bundle nor the system has";
    6 SearchPath "search-path" "search paths that lead out of the bundle";
    7 SymbolClosure "symbol-closure" "symbols that nothing in the process defines";
    8 ExecutableStack "executable-stack" "libraries that want an executable stack";
    9 Hardening "hardening" "protections of the loader that a file goes without";
    10 StaticTls "static-tls" "thread-local storage that must fit into a block laid out at start";
    11 PageSize "page-size" "segments that cannot be mapped with the target's pages";
    #[heuristic] 12 AllocatorPageSize "allocator-page-size" "an allocator compiled for one size of pages";
    13 X86Level "x86-64-level" "instructions that the oldest x86-64 processor lacks";
    14 ArmFeatures "arm-features" "instructions that the oldest ARM processor lacks";
    15 Machine "machine" "files for another system or processor";
    #[heuristic] 16 OpenedLibraries "opened-libraries" "libraries that are opened while a program runs";
    #[heuristic] 17 OpenMp "openmp" "several OpenMP runtimes in one process";
    18 CudaDriver "cuda-driver" "the driver's library as a hard dependency";
    19 CudaLibraries "cuda-libraries" "CUDA, cuDNN and TensorRT of another generation";
    20 GpuArchitecture "gpu-architecture" "code for graphics chips that the target does not have";
    21 TensorRtPlan "tensorrt-plan" "compiled models for another TensorRT or chip";
    22 NodeModulesVersion "node-modules-version" "addons bound to another NODE_MODULE_VERSION";
    23 NodeApiLevel "node-api-level" "addons that want a newer Node-API";
    24 Libuv "libuv" "functions of libuv that Bun and Deno do not have";
    25 EngineOnDeno "engine-on-deno" "addons that call V8, under Deno";
    26 HostName "host-name" "addons for Windows that know their host by another name";
    27 MacosMinimum "macos-minimum" "files built for a newer macOS";
    28 DylibPath "dylib-path" "libraries at paths that no other Mac has";
    29 CodeSignature "code-signature" "missing and broken code signatures";
    30 TeamId "team-id" "libraries that a hardened program refuses to load";
    31 VcRuntime "vc-runtime" "Microsoft's C++ runtime, which Windows does not have";
    32 WindowsMinimum "windows-minimum" "functions of a newer Windows";
    #[heuristic] 33 OpaquePayload "opaque-payload" "packed code, which nothing can be read from";
    34 DuplicateSoname "duplicate-soname" "different libraries that answer to one name";
}

impl Code {
    /// Its number, as the documents count.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether what it finds keeps a file from being loaded, on machines where it does.
    #[must_use]
    pub fn keeps_from_loading(self) -> bool {
        matches!(
            self,
            Self::GlibcFloor
                | Self::PackedRelocations
                | Self::LibstdcxxFloor
                | Self::CLibrary
                | Self::LibraryClosure
                | Self::PageSize
                | Self::CudaDriver
                | Self::CudaLibraries
                | Self::MacosMinimum
                | Self::DylibPath
                | Self::VcRuntime
                | Self::WindowsMinimum
        )
    }

    /// The check of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gaps_and_names_are_found() {
        for (place, code) in Code::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), place + 1);
            assert_eq!(Code::parse(code.name()), Some(*code));
        }
        assert_eq!(Code::parse("nothing"), None);
        assert!(Code::OpaquePayload.is_heuristic() && !Code::GlibcFloor.is_heuristic());
    }

    #[test]
    fn every_check_has_a_page() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checks");
        for code in Code::ALL {
            let page = format!("{pages}/{}.md", code.name());
            let text = std::fs::read_to_string(&page).expect(&page);
            let title = format!("# {} ({})\n", code.name(), code.number());
            assert!(text.starts_with(&title), "{page} starts with {title}");
            assert!(text.contains(code.summary()), "{page} has the summary");
        }
    }
}
