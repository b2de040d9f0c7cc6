//! wasm memory that grows in large steps.
//!
//! The standard library's allocator is dlmalloc and grows the memory by just what is missing. Each
//! growth is a system call, a new `ArrayBuffer` for JavaScript and a reason for its garbage collector
//! to run; an image of 100 MB would take 1,600 of them. This is the same dlmalloc, growing by an
//! eighth of what there is.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::UnsafeCell;

use dlmalloc::{Allocator, Dlmalloc};

#[global_allocator]
static MEMORY: Memory = Memory(UnsafeCell::new(Dlmalloc::new_with_allocator(Pages)));

struct Memory(UnsafeCell<Dlmalloc<Pages>>);

// SAFETY: a wasm module without threads has one thread.
unsafe impl Sync for Memory {}

// SAFETY: dlmalloc keeps the promises of an allocator. Nothing it does allocates again, so the
// exclusive reference of each call ends before the next one begins.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see above; the layout is the caller's to get right, here and below.
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as for `alloc`.
        unsafe { (*self.0.get()).free(start, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { (*self.0.get()).realloc(start, layout.size(), layout.align(), size) }
    }
}

/// Where dlmalloc gets its memory from.
struct Pages;

// SAFETY: what `memory.grow` returns is fresh, zeroed and nobody else's.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let needed = size.div_ceil(PAGE_BYTES);
        let ahead = needed.max(memory_size(0) / 8).max(MIN_PAGES);
        for pages in [ahead, needed] {
            let start = memory_grow(0, pages);
            if start == usize::MAX {
                continue;
            }
            let (start, bytes) = (start * PAGE_BYTES, pages * PAGE_BYTES);
            // The very last bytes of the address space: no object may end where it wraps around.
            let usable = if start.wrapping_add(bytes) == 0 { bytes - 16 } else { bytes };
            return (start as *mut u8, usable, 0);
        }
        (std::ptr::null_mut(), 0, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _can_move: bool) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}

const PAGE_BYTES: usize = 64 * 1024;

/// 1 MiB.
const MIN_PAGES: usize = 16;
