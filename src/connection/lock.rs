//! [`Mutex`]: the lock of a link's queue. It is the standard library's; in unit tests, a model may schedule it.

#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(super) use modelled::{Mutex, MutexGuard};

#[cfg(test)]
mod modelled {
    use std::ops::{Deref, DerefMut};
    use std::sync::{LockResult, PoisonError};

    /// What is made within a model belongs to it: whoever asks for the lock or lets it go may be sent behind any other.
    #[derive(Debug)]
    pub(in crate::connection) enum Mutex<T> {
        Standard(std::sync::Mutex<T>),
        Scheduled(shuttle::sync::Mutex<T>),
    }

    #[derive(Debug)]
    pub(in crate::connection) enum MutexGuard<'a, T> {
        Standard(std::sync::MutexGuard<'a, T>),
        Scheduled(shuttle::sync::MutexGuard<'a, T>),
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            match shuttle::current::try_get_current_task() {
                Some(_in_a_model) => Self::Scheduled(shuttle::sync::Mutex::default()),
                None => Self::Standard(std::sync::Mutex::default()),
            }
        }
    }

    impl<T> Mutex<T> {
        pub(in crate::connection) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            Ok(match self {
                Self::Standard(mutex) => {
                    MutexGuard::Standard(mutex.lock().unwrap_or_else(PoisonError::into_inner))
                }
                Self::Scheduled(mutex) => {
                    MutexGuard::Scheduled(mutex.lock().unwrap_or_else(PoisonError::into_inner))
                }
            })
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            match self {
                Self::Standard(guard) => guard,
                Self::Scheduled(guard) => guard,
            }
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            match self {
                Self::Standard(guard) => guard,
                Self::Scheduled(guard) => guard,
            }
        }
    }
}
