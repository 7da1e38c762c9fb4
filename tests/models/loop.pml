/* Who is a loop: LoopOwner, NotifierQueue and EpollLoop (dm/event). Checked by tests/arch/models_test.sh.
 *
 * One loop, notifiers that two threads notify, an eventfd that the kernel writes by itself (ioeventfd), and two threads
 * that serve their work themselves if they can borrow the loop, and notify it otherwise. Notifier 1 is for short work: a
 * borrower does what is told it by others, or wakes the loop's thread for it. Every atomic operation of the
 * code is one step here. Steps are sequentially consistent, as the operations that need it are in the code; the variants
 * BROKEN_LOOK_FIRST and BROKEN_PUSH_LATE do what a weaker order would allow.
 *
 * Properties:
 *   one owner:         at most one thread is the loop at a time;
 *   no lost wake-up:   when nothing moves any more, no work is left.
 */

#define NOTIFIERS 2

mtype = {Awake, FallingAsleep, Asleep, Borrowed, Called, Waking};
mtype state = Awake;         /* LoopOwner::state_ */
bool queued[NOTIFIERS];      /* NotifierQueue::Entry::queued_ */
bool on_stack[NOTIFIERS];    /* NotifierQueue::stack_; its order does not matter here */
bool readable[NOTIFIERS];    /* the eventfd was written, and epoll_wait has not told of it yet */
bool woken;                  /* the same of an eventfd whose handler has nothing to do: EpollNotifier::wake() */
bool work[NOTIFIERS];        /* what a handler looks for */
byte owners = 1;             /* threads that are the loop */

/* LoopOwner::announce_work(); `mine`: by the borrower */
inline announce(n, mine) {
  if
#ifdef BROKEN_BORROWED_IS_AWAKE
  :: atomic { state == Borrowed || state == Called -> wake_it = false }
#else
#ifdef BROKEN_BORROWER_CALLS_ITSELF
  :: atomic { n == 1 && state == Borrowed -> wake_it = false }
#endif
  :: atomic { n == 1 && !mine && state == Borrowed -> state = Called; wake_it = false }
  :: atomic { n == 1 && !mine && state == Called -> wake_it = false }
  :: atomic { (n == 0 || mine) && (state == Borrowed || state == Called) -> wake_it = true }
#endif
  :: atomic { state == FallingAsleep || state == Asleep -> wake_it = true }
  :: atomic { state == Awake || state == Waking -> wake_it = false }
  fi
}

inline become_owner() { d_step { owners++; assert(owners == 1) } }

/* EpollNotifier::notify(), NotifierQueue::push() */
inline notify(n, mine) {
  atomic { was_queued = queued[n]; queued[n] = true }
  if
  :: was_queued
  :: else ->
#ifdef BROKEN_PUSH_LATE
     announce(n, mine);
     on_stack[n] = true;
#else
     on_stack[n] = true;
     announce(n, mine);
#endif
     if
     :: wake_it -> readable[n] = true
     :: else
     fi
  fi;
  d_step { was_queued = false; wake_it = false }
}

/* The handler of a notifier: it finds all work that is visible. */
inline handle(n) { work[n] = false }

/* NotifierQueue::run_all(), one entry */
inline serve_entry(n) {
  if
  :: running[n] ->
     running[n] = false;
#ifdef BROKEN_FLAG_AFTER_HANDLER
     handle(n);
     queued[n] = false
#else
     queued[n] = false;
     handle(n)
#endif
  :: else
  fi
}

/* EpollNotifier::run() */
inline serve_event(n) {
  if
  :: ready[n] ->
     ready[n] = false;
     if
     :: !queued[n] -> handle(n)
     :: else
     fi
  :: else
  fi
}

/* EpollLoop::serve(), may_sleep() and sleep() */
active proctype Loop() {
  bool running[NOTIFIERS], ready[NOTIFIERS], any;
  do
  :: d_step {
       running[0] = on_stack[0]; running[1] = on_stack[1];
       on_stack[0] = false; on_stack[1] = false;
       any = running[0] || running[1]
     }
     serve_entry(0);
     serve_entry(1);
     if
     :: any
     :: else ->
#ifdef BROKEN_LOOK_FIRST
        any = on_stack[0] || on_stack[1];
        state = FallingAsleep;
#else
        state = FallingAsleep;                          /* announce_sleep() */
        any = on_stack[0] || on_stack[1];               /* has_entries() */
#endif
        if
        :: any -> state = Awake                         /* stay_awake() */
        :: else ->
           atomic { owners--; state = Asleep }          /* LoopOwner::sleep() */
end_asleep:
           atomic {                                     /* epoll_wait */
             (readable[0] || readable[1] || woken) ->
             d_step {
               woken = false;
               ready[0] = readable[0]; ready[1] = readable[1];
               readable[0] = false; readable[1] = false
             }
           }
           do                                           /* LoopOwner::wake() */
           :: atomic { state == Asleep -> state = Awake }
              break
#ifdef BROKEN_WAKE_WITHOUT_WAIT
           :: atomic { state == Borrowed || state == Called -> state = Awake }
              break
#else
           :: atomic { state == Borrowed || state == Called -> state = Waking }
              state != Waking;
              break
#endif
           od;
           become_owner();
           serve_event(0);
           serve_event(1)
        fi
     fi;
     any = false
  od
}

/* A thread that has work for the loop and notifies it. */
active proctype Notifier() {
  bool was_queued, wake_it;
  if
  :: work[0] = true; notify(0, false)
  :: work[1] = true; notify(1, false)
  fi
}

/* The kernel, for a kick by ioeventfd. */
active proctype Ioeventfd() {
  work[1] = true;
  readable[1] = true
}

/* BlkQueue::kick() and the pool's announce(): LoopOwner::try_borrow(), the work, maybe a notification for the loop's own
 * thread, LoopOwner::end_borrow(). */
active [2] proctype Borrower() {
  bool was_queued, wake_it, borrowed, running[NOTIFIERS];
  work[1] = true;
  if
#ifdef BROKEN_BORROW_IN_TWO_STEPS
  :: state == Asleep -> state = Borrowed; borrowed = true
#else
  :: atomic { state == Asleep -> state = Borrowed; borrowed = true }
#endif
  :: state != Asleep
  fi;
  if
  :: borrowed ->
     become_owner();
     if
     :: handle(1)
     :: notify(1, true)      /* what it does not want to do itself */
     fi;
#ifdef BROKEN_GIVE_BACK_UNSEEN
     atomic { owners--; state = Asleep }
#else
     do                      /* EpollLoop::end_borrow() */
     :: atomic { state == Borrowed -> owners--; state = Asleep }
        break
     :: atomic { state == Waking -> owners--; state = Awake }
        break
#ifdef BROKEN_WAKE_WITHOUT_WAIT
     :: atomic { state != Borrowed && state != Called && state != Waking -> owners-- }
        break
#endif
#ifdef BROKEN_LOOK_BEFORE_THE_CALL_IS_TAKEN
     :: state == Called ->
        atomic { running[1] = on_stack[1]; on_stack[1] = false }
        serve_entry(1);
        if
        :: atomic { state == Called -> state = Borrowed }
        :: state != Called
        fi
#else
     :: atomic { state == Called -> state = Borrowed }
        if
        :: atomic { running[1] = on_stack[1]; on_stack[1] = false }
           serve_entry(1)
        :: woken = true         /* it has done enough: the loop's thread is woken for the rest */
        fi
#endif
     od
#endif
  :: else -> notify(1, false)
  fi
}

active proctype NothingMoves() {
  timeout ->
  assert(!work[0] && !work[1]);
  assert(state == Asleep && owners == 0)
}
