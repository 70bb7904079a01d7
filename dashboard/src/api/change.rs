//! Changes. Each is a row of the audit, and goes on when whoever asked for it hangs up: a change that stops half-way would be worse
//! than one that nobody waits for.

use std::future::Future;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, ControlError, LevelReply, LevelRequest, PlanReply,
    PlanRequest, RollbackPlanRequest, RollbackRequest,
};

use super::App;
use super::answer::{Given, Json, Problem};
use crate::access::Caller;

pub(super) async fn plan(
    State(app): State<Arc<App>>,
    Given(request): Given<PlanRequest>,
) -> Result<Json<PlanReply>, Problem> {
    check_paths(&request)?;
    Ok(Json(app.control.plan(request).await?))
}

pub(super) async fn apply(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Given(request): Given<ApplyRequest>,
) -> Result<Json<ApplyReply>, Problem> {
    check_paths(&request.plan)?;
    let paths = request.plan.paths.iter().map(|path| path.display().to_string());
    let all = if request.plan.all { " (all)" } else { "" };
    let target = format!("{}{all}", paths.collect::<Vec<_>>().join(" "));
    let (control, actor) = (app.control.clone(), caller.actor.clone());
    let work = async move { control.apply(request, &actor).await };
    changed(&app, &caller, "apply", target, work).await
}

/// The engine has another working directory than whoever asks.
fn check_paths(request: &PlanRequest) -> Result<(), Problem> {
    match request.paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => {
            let message = format!("`{}` is not an absolute path", path.display());
            Err(ControlError::bad_input(message).help("begin it with `/`").into())
        }
        None => Ok(()),
    }
}

pub(super) async fn plan_rollback(
    State(app): State<Arc<App>>,
    Given(request): Given<RollbackPlanRequest>,
) -> Result<Json<PlanReply>, Problem> {
    Ok(Json(app.control.plan_rollback(request).await?))
}

pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Given(request): Given<RollbackRequest>,
) -> Result<Json<ApplyReply>, Problem> {
    let target = match request.revision {
        Some(number) => format!("revision {number}"),
        None => "the revision before".to_owned(),
    };
    let (control, actor) = (app.control.clone(), caller.actor.clone());
    let work = async move { control.rollback(request, &actor).await };
    changed(&app, &caller, "rollback", target, work).await
}

pub(super) async fn set_level(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Given(request): Given<LevelRequest>,
) -> Result<Json<LevelReply>, Problem> {
    let node = request.node.as_deref().unwrap_or("the host");
    let target = format!("{node}: {}", request.level.as_str());
    let (control, actor) = (app.control.clone(), caller.actor.clone());
    let work = async move { control.set_level(request, &actor).await };
    changed(&app, &caller, "log level", target, work).await
}

pub(super) async fn checkpoint(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<CheckpointStatus>, Problem> {
    let (control, actor) = (app.control.clone(), caller.actor.clone());
    let work = async move { control.checkpoint(&actor).await };
    changed(&app, &caller, "checkpoint", String::new(), work).await
}

/// Does a change and keeps what became of it.
pub(super) async fn changed<T: Send + 'static>(
    app: &Arc<App>,
    caller: &Caller,
    action: &str,
    target: String,
    work: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> Result<Json<T>, Problem> {
    let mut row = app.audit.row(&caller.actor, caller.peer, action);
    row.target = target;
    let audit = app.audit.clone();
    let task = app.changes.spawn(async move {
        let result = work.await;
        row.outcome = match &result {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        audit.changed(row).await;
        result
    });
    match task.await {
        Ok(result) => Ok(Json(result?)),
        Err(error) => {
            tracing::error!("a change broke off: {error}");
            Err(ControlError::failed("the engine broke off; its log says why").into())
        }
    }
}
