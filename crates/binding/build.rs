//! Passes the linker the flags that a Node-API addon needs on each platform.

fn main() {
    napi_build::setup();
    // A Mach-O library carries its own name, which would be the path where it was built.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/espalier.node");
    }
}
